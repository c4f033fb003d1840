/* Softmax regression as a program for the runtime: the contract by hand, small enough to check by eye.
 * The build defines BATCH, FEATURES and CLASSES, and includes manifest.h: the array netc_manifest. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "manifest.h"

typedef struct netc_context netc_context;
typedef void (*netc_body)(const netc_context *, uint8_t *scratch, int64_t begin, int64_t end);
struct netc_context {
    uint8_t *arena, *state, *scratch;
    size_t scratch_stride;
    uint8_t *const *ports;
    void (*parallel_for)(void *pool, const netc_context *, int64_t count, netc_body);
    void *pool;
};

/* The state block: weight, bias, and their momenta, in the manifest's order and offsets. */
struct state {
    float weight[CLASSES][FEATURES], bias[CLASSES], weight_momentum[CLASSES][FEATURES], bias_momentum[CLASSES];
};

static void parallel(const netc_context *c, int64_t count, netc_body body) {
    if (c->parallel_for) c->parallel_for(c->pool, c, count, body);
    else body(c, c->scratch, 0, count);
}

static uint32_t mix(uint32_t x) {
    x ^= x >> 16; x *= 0x7feb352du; x ^= x >> 15; x *= 0x846ca68bu; x ^= x >> 16;
    return x;
}

int32_t softmax_init(const netc_context *c) {
    struct state *s = (struct state *)c->state;
    const int32_t *seed = (const int32_t *)c->ports[0];
    for (int k = 0; k < CLASSES; k++) {
        for (int f = 0; f < FEATURES; f++) {
            uint32_t bits = mix((uint32_t)(k * FEATURES + f) ^ mix((uint32_t)seed[0]) ^ mix((uint32_t)seed[1] + 7u));
            s->weight[k][f] = ((float)(bits >> 8) / 16777216.0f - 0.5f) * 0.01f;
            s->weight_momentum[k][f] = 0;
        }
        s->bias[k] = s->bias_momentum[k] = 0;
    }
    return 0;
}

static void preprocess_images(const netc_context *c, uint8_t *scratch, int64_t begin, int64_t end) {
    (void)scratch;
    const uint8_t *pixels = c->ports[0];
    float *image = (float *)c->ports[1];
    for (int64_t i = begin * FEATURES; i < end * FEATURES; i++) image[i] = (float)pixels[i] / 255.0f;
}

int32_t softmax_preprocess(const netc_context *c) {
    parallel(c, BATCH, preprocess_images);
    return 0;
}

static void logits(const struct state *s, const float *image, float *out) {
    for (int k = 0; k < CLASSES; k++) {
        float sum = s->bias[k];
        for (int f = 0; f < FEATURES; f++) sum += s->weight[k][f] * image[f];
        out[k] = sum;
    }
}

static void infer_images(const netc_context *c, uint8_t *scratch, int64_t begin, int64_t end) {
    (void)scratch;
    for (int64_t n = begin; n < end; n++)
        logits((const struct state *)c->state, (const float *)c->ports[0] + n * FEATURES,
               (float *)c->ports[1] + n * CLASSES);
}

int32_t softmax_infer(const netc_context *c) {
    parallel(c, BATCH, infer_images);
    return 0;
}

/* Ports of train: image, labels, learning_rate, step, seed; loss, output. Arena: probabilities, losses. */
static void forward_images(const netc_context *c, uint8_t *scratch, int64_t begin, int64_t end) {
    (void)scratch;
    const int32_t *labels = (const int32_t *)c->ports[1];
    float *probabilities = (float *)c->arena, *losses = probabilities + BATCH * CLASSES;
    for (int64_t n = begin; n < end; n++) {
        float *out = (float *)c->ports[6] + n * CLASSES, *p = probabilities + n * CLASSES;
        logits((const struct state *)c->state, (const float *)c->ports[0] + n * FEATURES, out);
        float most = out[0], sum = 0;
        for (int k = 1; k < CLASSES; k++) most = out[k] > most ? out[k] : most;
        for (int k = 0; k < CLASSES; k++) sum += p[k] = expf(out[k] - most);
        for (int k = 0; k < CLASSES; k++) p[k] /= sum;
        losses[n] = logf(sum) + most - out[labels[n]];
    }
}

static void update_classes(const netc_context *c, uint8_t *scratch, int64_t begin, int64_t end) {
    struct state *s = (struct state *)c->state;
    const int32_t *labels = (const int32_t *)c->ports[1];
    const float *images = (const float *)c->ports[0], *probabilities = (const float *)c->arena;
    float rate = *(const float *)c->ports[2];
    const int32_t *step = (const int32_t *)c->ports[3], *seed = (const int32_t *)c->ports[4];
    float *gradient = (float *)scratch;
    for (int64_t k = begin; k < end; k++) {
        float of_bias = 0;
        for (int f = 0; f < FEATURES; f++) gradient[f] = 0;
        for (int n = 0; n < BATCH; n++) {
            float error = (probabilities[n * CLASSES + k] - (labels[n] == k ? 1.0f : 0.0f)) / BATCH;
            of_bias += error;
            for (int f = 0; f < FEATURES; f++) gradient[f] += error * images[n * FEATURES + f];
        }
        /* A little noise that depends on seed and step, so that a wrong step or seed shows. */
        uint32_t bits = mix((uint32_t)k ^ mix((uint32_t)*step + 1u) ^ mix((uint32_t)seed[0] ^ mix((uint32_t)seed[1])));
        of_bias += ((float)(bits >> 8) / 16777216.0f - 0.5f) * 1e-3f;
        for (int f = 0; f < FEATURES; f++) {
            float v = s->weight_momentum[k][f] = 0.9f * s->weight_momentum[k][f] + gradient[f];
            s->weight[k][f] -= rate * v;
        }
        float v = s->bias_momentum[k] = 0.9f * s->bias_momentum[k] + of_bias;
        s->bias[k] -= rate * v;
    }
}

int32_t softmax_train(const netc_context *c) {
    const float *losses = (const float *)c->arena + BATCH * CLASSES;
    float sum = 0;
    parallel(c, BATCH, forward_images);
    for (int n = 0; n < BATCH; n++) sum += losses[n];
    *(float *)c->ports[5] = sum / BATCH;
    parallel(c, CLASSES, update_classes);
    return 0;
}

int32_t softmax_fails(const netc_context *c) {
    (void)c;
    return 7;
}
