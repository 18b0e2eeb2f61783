//! Simulation of the bias of the estimator and of the coverage of its confidence intervals.
//!
//! Two layouts are compared with standard deviations as measured: 0.7 % between processes, 0.5 %
//! between boots of a process, and 1 % between slices. On a disturbed machine, half of the slices
//! take up to three times the undisturbed time. The system reports all but a tenth of these
//! disturbances, and a reported slice is retaken up to four times.

use super::{Estimate, low_quartile, mean};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_pcg::Pcg64Mcg;

/// Number of simulated runs per setting.
const TRIALS: usize = 4000;
/// Number of samples per boot.
const ROUNDS: usize = 5;
/// Number of boots per process.
const BOOTS: usize = 2;
/// The true log ratio.
const TRUTH: f64 = 0.3;

/// How often other programs disturb the slices of a machine.
#[derive(Clone, Copy, Debug)]
struct Machine {
    /// Fraction of slices that are disturbed.
    disturbed: f64,
    /// Fraction of the disturbed slices that the system does not report.
    unreported: f64,
}

const QUIET: Machine = Machine { disturbed: 0.0, unreported: 0.0 };
const BUSY: Machine = Machine { disturbed: 0.5, unreported: 0.1 };

fn normal(rng: &mut Pcg64Mcg, deviation: f64) -> f64 {
    let value: f64 = StandardNormal.sample(rng);
    deviation * value
}

/// The time of a slice of a layout whose undisturbed time is `exp(level)`, and whether the system
/// reports a disturbance.
fn slice(rng: &mut Pcg64Mcg, level: f64, machine: Machine) -> (f64, bool) {
    let mut retaken = 0;
    loop {
        let time = (level + normal(rng, 0.01)).exp();
        let disturbed = rng.random_bool(machine.disturbed);
        let reported = disturbed && !rng.random_bool(machine.unreported);
        let excess: f64 = Exp1.sample(rng);
        let time = if disturbed { time * (1.0 + excess.min(2.0)) } else { time };
        if !reported || retaken == 4 {
            return (time, reported);
        }
        retaken += 1;
    }
}

/// The log ratio of a process, computed as in a summary of rows.
fn process(rng: &mut Pcg64Mcg, machine: Machine) -> Option<f64> {
    let of_process = normal(rng, 0.007);
    let of_boot = |rng: &mut Pcg64Mcg| {
        let level = TRUTH + of_process + normal(rng, 0.005);
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            // A sample consists of two slices.
            let mut sample = |level| {
                let (first, second) = (slice(rng, level, machine), slice(rng, level, machine));
                (!first.1 && !second.1).then_some(first.0 + second.0)
            };
            let (measured, reference) = (sample(level), sample(0.0));
            pairs.extend(measured.zip(reference));
        }
        let measured = low_quartile(pairs.iter().map(|pair| pair.0))?;
        Some((measured / low_quartile(pairs.iter().map(|pair| pair.1))?).ln())
    };
    let boots: Vec<f64> = (0..BOOTS).filter_map(|_| of_boot(rng)).collect();
    mean(&boots)
}

/// Coverage of nominal 95 % intervals and bias of the log ratio, both in percent.
fn simulate(processes: usize, machine: Machine) -> (f64, f64) {
    let mut rng = Pcg64Mcg::seed_from_u64(processes as u64);
    let (mut held, mut sum) = (0, 0.0);
    for _ in 0..TRIALS {
        let values: Vec<f64> = (0..processes).filter_map(|_| process(&mut rng, machine)).collect();
        let Some(estimate) = Estimate::from_processes(&values) else { continue };
        let (low, high) = estimate.interval(0.05);
        held += usize::from(low <= TRUTH && TRUTH <= high);
        sum += estimate.mean - TRUTH;
    }
    (100.0 * held as f64 / TRIALS as f64, 100.0 * sum / TRIALS as f64)
}

/// Coverage in percent and mean number of processes if processes are added, up to `most`, until the half-width of the
/// interval of the log ratio is at most `half_width`.
fn simulate_until_narrow(least: usize, most: usize, half_width: f64, machine: Machine) -> (f64, f64) {
    let mut rng = Pcg64Mcg::seed_from_u64(least as u64);
    let (mut held, mut taken) = (0, 0);
    for _ in 0..TRIALS {
        let mut values: Vec<f64> = Vec::new();
        loop {
            values.extend(process(&mut rng, machine));
            let Some(estimate) = Estimate::from_processes(&values).filter(|_| values.len() >= least) else { continue };
            let (low, high) = estimate.interval(0.05);
            if high - low <= 2.0 * half_width || values.len() >= most {
                held += usize::from(low <= TRUTH && TRUTH <= high);
                taken += values.len();
                break;
            }
        }
    }
    (100.0 * held as f64 / TRIALS as f64, taken as f64 / TRIALS as f64)
}

#[test]
fn nominal_95_percent_intervals_have_a_coverage_of_93_to_97_percent() {
    for machine in [QUIET, BUSY] {
        for processes in [5, 7, 15] {
            let (coverage, bias) = simulate(processes, machine);
            println!("{machine:?}, {processes} processes: coverage {coverage:.1} %, bias {bias:+.2} %");
            assert!((93.0..=97.0).contains(&coverage), "{machine:?}, {processes} processes: {coverage}");
            assert!(bias.abs() < 0.2, "{machine:?}, {processes} processes: bias {bias} %");
        }
    }
}

/// Stopping as soon as an interval is narrow favours intervals that are narrow by chance, which reduces coverage.
#[test]
fn stopping_by_width_costs_little_coverage() {
    for machine in [QUIET, BUSY] {
        // A run adds up to 25 processes and stops at half the margin. A duel adds up to 40 pairs
        // and stops at a quarter.
        for (most, width) in [(25, 0.01), (40, 0.005)] {
            let (coverage, taken) = simulate_until_narrow(7, most, width, machine);
            let percent = 100.0 * width;
            println!("{machine:?}, 7 to {most} until ±{percent} %: coverage {coverage:.1} %, {taken:.1} processes");
            assert!(coverage >= 93.0, "{machine:?}, up to {most}: {coverage}");
        }
    }
}
