//! The learning rate of each step, computed in f64 and rounded once.

use crate::checkpoint::Plateau;
use crate::program::{DecayInfo, ScheduleInfo};

/// Where in training a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Steps done before.
    pub step: u64,
    /// Epochs done before.
    pub epoch: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
}

/// The rate of the step at `moment`: warm-up (base/warmup, 2·base/warmup, … base) times decay.
pub fn learning_rate(schedule: &ScheduleInfo, moment: Moment, plateau: &Plateau) -> f64 {
    let base = schedule.base;
    let power = |gamma: f64, times: u64| base * gamma.powi(i32::try_from(times).unwrap_or(i32::MAX));
    let decayed = match &schedule.decay {
        DecayInfo::None => base,
        DecayInfo::Step { every, gamma } => power(*gamma, moment.epoch / (*every).max(1)),
        DecayInfo::Milestones { epochs, gamma } => {
            power(*gamma, epochs.iter().filter(|&&epoch| epoch <= moment.epoch).count() as u64)
        }
        DecayInfo::Cosine { minimum } => {
            // The cosine begins where the warm-up ends.
            let done = moment.step.saturating_sub(schedule.warmup_steps) as f64;
            let all = moment.total_steps.saturating_sub(schedule.warmup_steps).max(1) as f64;
            let turn = std::f64::consts::PI * (done / all).min(1.0);
            minimum + (base - minimum) * 0.5 * (1.0 + turn.cos())
        }
        DecayInfo::Plateau { gamma, .. } => power(*gamma, plateau.reductions),
    };
    if moment.step < schedule.warmup_steps {
        decayed * ((moment.step + 1) as f64 / schedule.warmup_steps as f64)
    } else {
        decayed
    }
}

/// Notes the validation error of an epoch: lowers the rate when it has not improved for long enough.
pub fn note_error(schedule: &ScheduleInfo, plateau: &mut Plateau, error: f64) {
    let DecayInfo::Plateau { patience, times, .. } = schedule.decay else { return };
    if plateau.best.is_none_or(|best| error < best) {
        plateau.best = Some(error);
        plateau.waited = 0;
        return;
    }
    plateau.waited += 1;
    if plateau.waited >= patience.max(1) && plateau.reductions < times {
        plateau.reductions += 1;
        plateau.waited = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(warmup_steps: u64, decay: DecayInfo, moments: &[(u64, u64)]) -> Vec<f64> {
        let schedule = ScheduleInfo { base: 0.1, warmup_steps, decay };
        let moment = |&(step, epoch): &(u64, u64)| Moment { step, epoch, total_steps: 100 };
        moments.iter().map(|m| learning_rate(&schedule, moment(m), &Plateau::default())).collect()
    }

    fn close(a: &[f64], b: &[f64]) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
    }

    #[test]
    fn each_decay_follows_its_definition() {
        close(&rates(0, DecayInfo::None, &[(0, 0), (99, 9)]), &[0.1, 0.1]);
        let step = DecayInfo::Step { every: 3, gamma: 0.1 };
        close(&rates(0, step, &[(0, 0), (0, 2), (0, 3), (0, 6)]), &[0.1, 0.1, 0.01, 0.001]);
        let milestones = DecayInfo::Milestones { epochs: vec![2, 5], gamma: 0.5 };
        close(&rates(0, milestones, &[(0, 1), (0, 2), (0, 4), (0, 5)]), &[0.1, 0.05, 0.05, 0.025]);
        let cosine = DecayInfo::Cosine { minimum: 0.02 };
        close(&rates(0, cosine, &[(0, 0), (50, 0), (100, 0)]), &[0.1, 0.06, 0.02]);
    }

    #[test]
    fn warm_up_rises_to_the_base() {
        close(&rates(4, DecayInfo::None, &[(0, 0), (1, 0), (3, 0), (4, 0)]), &[0.025, 0.05, 0.1, 0.1]);
        let cosine = DecayInfo::Cosine { minimum: 0.0 };
        close(&rates(20, cosine, &[(19, 0), (20, 0), (60, 0), (100, 0)]), &[0.1, 0.1, 0.05, 0.0]);
    }

    #[test]
    fn a_plateau_lowers_the_rate_after_patience_and_not_too_often() {
        let decay = DecayInfo::Plateau { gamma: 0.1, patience: 2, times: 2 };
        let schedule = ScheduleInfo { base: 1.0, warmup_steps: 0, decay };
        let mut plateau = Plateau::default();
        let moment = Moment { step: 0, epoch: 0, total_steps: 1 };
        let mut seen = Vec::new();
        for error in [0.5, 0.4, 0.4, 0.4, 0.3, 0.3, 0.31, 0.3, 0.3, 0.3] {
            note_error(&schedule, &mut plateau, error);
            seen.push(learning_rate(&schedule, moment, &plateau));
        }
        close(&seen, &[1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01]);
    }
}
