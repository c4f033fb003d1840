/* Threads for a library that netc compiled: a parallel_for as its header asks for one.

   As in netc's own runtime each thread has a slice of a region's iterations, works through it in pieces and then helps
   with the others'; an idle thread looks for work for some tenths of a millisecond and then sleeps. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

enum { SPINS = 20000, PIECES = 8 };

typedef struct netc_context netc_context;
typedef void (*netc_body)(const netc_context *context, uint8_t *scratch, int64_t begin, int64_t end);
struct netc_context {
    uint8_t *arena, *state, *scratch;
    size_t scratch_stride;
    uint8_t *const *ports;
    void (*parallel_for)(void *pool, const netc_context *context, int64_t count, netc_body body);
    void *pool;
};

typedef struct { _Alignas(128) _Atomic int64_t next; int64_t end; } slice;

typedef struct {
    int threads;
    slice *slices;
    const netc_context *context;
    netc_body body;
    int64_t piece;
    _Alignas(128) _Atomic uint64_t region; /* counts the regions */
    _Alignas(128) _Atomic int busy;        /* workers that are not through with the region */
    _Alignas(128) _Atomic int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
} pool;

typedef struct { pool *pool; int index; } worker;

static void breathe(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void do_pieces(pool *p, int index) {
    uint8_t *scratch = p->context->scratch + index * p->context->scratch_stride;
    for (int turn = 0; turn < p->threads; turn++) {
        slice *s = &p->slices[(index + turn) % p->threads];
        for (;;) {
            if (atomic_load_explicit(&s->next, memory_order_relaxed) >= s->end) break;
            int64_t begin = atomic_fetch_add_explicit(&s->next, p->piece, memory_order_relaxed);
            if (begin >= s->end) break;
            int64_t end = begin + p->piece;
            p->body(p->context, scratch, begin, end < s->end ? end : s->end);
        }
    }
}

static void *work(void *argument) {
    worker me = *(worker *)argument;
    free(argument);
    pool *p = me.pool;
    for (uint64_t last = 0;;) {
        for (int spins = 0; atomic_load(&p->region) == last; spins++) {
            if (spins < SPINS) {
                breathe();
                continue;
            }
            pthread_mutex_lock(&p->lock);
            atomic_fetch_add(&p->sleepers, 1);
            while (atomic_load(&p->region) == last) pthread_cond_wait(&p->wake, &p->lock);
            atomic_fetch_sub(&p->sleepers, 1);
            pthread_mutex_unlock(&p->lock);
        }
        last++;
        do_pieces(p, me.index);
        atomic_fetch_sub(&p->busy, 1);
    }
    return NULL;
}

/* A pool of `threads`, the caller's included; NULL if the system has no more of them. It lasts as long as the process. */
pool *pool_new(int threads) {
    pool *p = aligned_alloc(128, sizeof(pool));
    if (!p) return NULL;
    *p = (pool){.threads = threads, .slices = aligned_alloc(128, (size_t)threads * sizeof(slice))};
    if (!p->slices) return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (int index = 1; index < threads; index++) {
        pthread_t thread;
        worker *w = malloc(sizeof(worker));
        if (!w) return NULL;
        *w = (worker){p, index};
        if (pthread_create(&thread, NULL, work, w)) return NULL;
        pthread_detach(thread);
    }
    return p;
}

void pool_parallel_for(void *of, const netc_context *context, int64_t count, netc_body body) {
    pool *p = of;
    if (count <= 0) return;
    if (p->threads == 1 || count == 1) {
        body(context, context->scratch, 0, count);
        return;
    }
    int64_t each = count / p->threads, more = count % p->threads, begin = 0;
    for (int index = 0; index < p->threads; index++) {
        atomic_store_explicit(&p->slices[index].next, begin, memory_order_relaxed);
        begin = p->slices[index].end = begin + each + (index < more);
    }
    p->context = context;
    p->body = body;
    p->piece = each > PIECES ? each / PIECES : 1;
    atomic_store(&p->busy, p->threads - 1);
    atomic_fetch_add(&p->region, 1);
    if (atomic_load(&p->sleepers)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
    do_pieces(p, 0);
    while (atomic_load(&p->busy)) breathe();
}
