//! Replays a scene: a scenario of the cover letter, on temporary files.

use super::refusal::{Refusal, Subject};
use super::region_files::RegionFilesError;
use super::{KernelRules, PmemError};
use crate::interrupt::Interrupt;
use memmap_layouts::nvdimm::scene::{self, Scene, SceneError, Step};
use std::ops::ControlFlow;
use std::path::Path;

/// Replays a scene with sparse files in a temporary folder below `dir`, and returns its steps.
///
/// `on_step` gets each step when it is done; [`ControlFlow::Break`] ends the scene. The temporary
/// folder is deleted before the function returns.
///
/// # Errors
/// [`PmemError::Refused`]: `dir` does not exist, cannot be written to, or has no room, or a
/// namespace that every kernel accepts was refused. [`PmemError::Interrupted`] if the user asked to
/// stop. [`PmemError::Scene`] if `on_step` ended the scene or a machine did not boot.
/// [`PmemError::SceneFilesRemain`] if the temporary folder cannot be deleted.
pub fn play(
    scene: Scene,
    rules: KernelRules,
    dir: &Path,
    interrupt: &Interrupt,
    mut on_step: impl FnMut(&Step) -> ControlFlow<()>,
) -> Result<Vec<Step>, PmemError> {
    let folder = tempfile::Builder::new().prefix("pfnbench-scene-").tempdir_in(dir);
    let folder = folder.map_err(|source| {
        let error = RegionFilesError::NoTemporaryFiles { dir: dir.to_owned(), why: source.kind().to_string() };
        Refusal::from_region_files(&error, &Subject::default())
    })?;
    let mut steps = Vec::new();
    let played = scene::play(scene, rules == KernelRules::Before, folder.path(), &mut |step| {
        let flow = on_step(&step);
        steps.push(step);
        if interrupt.check().is_ok() { flow } else { ControlFlow::Break(()) }
    });
    folder.close().map_err(|source| PmemError::SceneFilesRemain { dir: dir.to_owned(), source })?;
    interrupt.check()?;
    let subject = Subject::new(format!("a namespace of the scene {}", scene.name()));
    match played {
        Ok(()) => Ok(steps),
        Err(SceneError::Namespace(error)) => Err(Refusal::from_namespace(&error, &subject).into()),
        Err(SceneError::Storage(error)) => Err(Refusal::from_storage(&error).into()),
        Err(error) => Err(PmemError::Scene(error)),
    }
}
