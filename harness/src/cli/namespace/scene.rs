//! The command `pfnbench namespace scene`.

use super::kernel_args::RulesArg;
use crate::cli::{Answer, Json, print, print_json};
use crate::interrupt::Interrupt;
use crate::pmem::PmemError;
use crate::pmem::scene::play;
use anyhow::Context;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use memmap_layouts::nvdimm::scene::{Scene, Step};
use serde_json::json;
use std::ops::ControlFlow;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace scene sub-section             ten namespaces side by side
  pfnbench namespace scene shift --rules before    a region that firmware moved
  pfnbench namespace scene ndctl-76 --json

Exit codes: 0 every step ended as the rules require; 1 a step did not, or the
folder has no space; 2 the scene could not be replayed, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct SceneArgs {
    /// Scenario to replay
    #[arg(value_name = "NAME", value_parser = scenes())]
    scene: Scene,
    /// Kernel whose rules apply
    #[arg(long, value_enum, default_value_t = RulesArg::Merged)]
    rules: RulesArg,
    /// Folder for the sparse files that stand in for devices; they are deleted
    /// afterwards
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    dir: PathBuf,
    #[command(flatten)]
    pub(super) json: Json,
}

fn scenes() -> impl TypedValueParser<Value = Scene> {
    let names = Scene::ALL.map(|scene| PossibleValue::new(scene.name()).help(scene.about()));
    let named = |name: String| Scene::ALL.into_iter().find(|scene| scene.name() == name).ok_or("unknown scene");
    PossibleValuesParser::new(names).try_map(named)
}

fn step_text(step: &Step) -> String {
    let mark = if step.holds { "ok" } else { "NOT AS EXPECTED" };
    format!(
        "{mark:<4} {layout}: {what}\n       expected {expected}\n       observed {observed}",
        layout = step.layout,
        what = step.what,
        expected = step.expected,
        observed = step.observed
    )
}

impl SceneArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let (name, rules) = (self.scene.name(), self.rules.rules());
        let interrupt = Interrupt::listen().context("cannot listen for signals")?;
        let mut printed = Ok(());
        let played = play(self.scene, rules, &self.dir, &interrupt, |step| {
            if !self.json.json {
                printed = print(step_text(step));
            }
            if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        // An error of the output ends the scene early, so it is the cause to report; unless the
        // user asked to stop.
        if !matches!(played, Err(PmemError::Interrupted(_) | PmemError::SceneFilesRemain { .. })) {
            printed?;
        }
        let steps = played?;
        let nr_unexpected = steps.iter().filter(|step| !step.holds).count();
        if self.json.json {
            let steps: Vec<_> = steps
                .iter()
                .map(|step| {
                    let Step { layout, what, expected, observed, holds } = step;
                    json!({
                        "layout": layout, "what": what, "expected": expected, "observed": observed, "holds": holds,
                    })
                })
                .collect();
            let holds = nr_unexpected == 0;
            print_json(&json!({ "scene": name, "rules": rules.name(), "holds": holds, "steps": steps }))?;
        } else {
            print(format!(
                "{name} under the rules {}: {} of {} steps as expected",
                rules.name(),
                steps.len() - nr_unexpected,
                steps.len()
            ))?;
        }
        Ok(if nr_unexpected == 0 { Answer::Yes } else { Answer::No })
    }
}
