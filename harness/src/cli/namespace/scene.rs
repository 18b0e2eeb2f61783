//! The command `pfnbench namespace scene`.

use crate::cli::{Answer, Json, print, print_json};
use crate::interrupt::Interrupt;
use crate::pmem::capacity::Time;
use crate::pmem::refusal::Subject;
use crate::pmem::refusal::files_error::FilesError;
use anyhow::Context;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use memmap_layouts::nvdimm::scene::{Scene, Step, play};
use serde_json::json;
use std::ops::ControlFlow;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace scene sub-section                  ten namespaces side by side
  pfnbench namespace scene shift --rules before         what old kernels did when the firmware moved a region
  pfnbench namespace scene ndctl-76 --json

Exit codes: 0 every step ended as expected under its rules, 1 one did not, or the folder has no room, 2 the scene could not be played.")]
pub(super) struct SceneArgs {
    /// The scenario to replay
    #[arg(value_name = "NAME", value_parser = scenes())]
    scene: Scene,
    /// Rules to apply: those of Linux up to 5.2, or those since the series was merged
    #[arg(long, value_enum, default_value_t = Time::Merged)]
    rules: Time,
    /// Folder for the sparse files that stand in for devices; they are deleted afterwards
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    dir: PathBuf,
    #[command(flatten)]
    pub(super) json: Json,
}

fn scenes() -> impl TypedValueParser<Value = Scene> {
    let names = Scene::ALL.map(|scene| PossibleValue::new(scene.name()).help(scene.about()));
    let named = |name: String| Scene::ALL.into_iter().find(|scene| scene.name() == name).ok_or("no scene");
    PossibleValuesParser::new(names).try_map(named)
}

fn line(step: &Step) -> String {
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
        let (name, rules) = (self.scene.name(), self.rules.name());
        let interrupt = Interrupt::listen().context("cannot listen to signals")?;
        let dir = tempfile::Builder::new()
            .prefix("pfnbench-scene-")
            .tempdir_in(&self.dir)
            .map_err(|source| FilesError::NoFolder { dir: self.dir.clone(), why: source.kind().to_string() })?;
        let (mut steps, mut failed) = (Vec::new(), Ok(()));
        let played = play(self.scene, self.rules == Time::Before, dir.path(), &mut |step| {
            if !self.json.json && failed.is_ok() {
                failed = print(line(&step));
            }
            steps.push(step);
            if interrupt.check().is_ok() && failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        // Delete the folder before the process ends.
        dir.close().with_context(|| format!("files of the scene stay in {}", self.dir.display()))?;
        interrupt.check()?;
        failed?;
        played.with_context(|| Subject::of(format!("a namespace of the scene {name}")))?;
        let wrong = steps.iter().filter(|step| !step.holds).count();
        if self.json.json {
            let steps: Vec<_> = steps
                .iter()
                .map(|step| {
                    let Step { layout, what, expected, observed, holds } = step;
                    json!({ "layout": layout, "what": what, "expected": expected, "observed": observed, "holds": holds })
                })
                .collect();
            print_json(&json!({ "scene": name, "rules": rules, "holds": wrong == 0, "steps": steps }))?;
        } else {
            print(format!(
                "{name} under the rules {rules}: {} of {} steps as expected",
                steps.len() - wrong,
                steps.len()
            ))?;
        }
        Ok(if wrong == 0 { Answer::Yes } else { Answer::No })
    }
}
