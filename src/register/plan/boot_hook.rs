//! Plan of the boot hook: the steps that let the init system start `binfmt-nix restore` where nothing reads binfmt.d.

use std::path::{Path, PathBuf};

use super::Step;
use super::register::{foreign_file_error, write_own_file};
use crate::binfmt::boot_hook::{BootHook, HookObject, HookState, SCRIPT_LIST, is_equivalent_link};
use crate::binfmt::init_system::{WSL_CONF, find_wsl_key};
use crate::error::Result;
use crate::paths;
use crate::register::facts::boot_hook::HookProgram;
use crate::register::facts::{Facts, HookInputs};
use crate::register::plan::step_groups::StepGroups;
use crate::register::request::RegisterRequest;
use crate::sanitize::{AsText as _, shell_quote};

/// Adds the steps of the hook. The steps of the systems must be planned already.
pub(super) fn add_boot_hook(request: &RegisterRequest, facts: &Facts, groups: &mut StepGroups) -> Result<()> {
    let has_boot_file = groups.systems.iter().any(|plan| plan.system.as_ref().is_some_and(|system| !system.adopted))
        || groups.rules.iter().any(|plan| plan.rule.is_some());
    let (Some(problem), Some(state)) = (&facts.boot.reader_problem, &facts.boot.hook) else { return Ok(()) };
    if !request.persist || !has_boot_file || !facts.survives_boot {
        return Ok(());
    }
    let (hook, inputs) = match (&state.hook, &facts.hook) {
        (Ok(hook), Some(inputs)) => (*hook, inputs),
        (Err(why), _) => {
            groups.findings.push(format!("{problem}; {why}: run register again after each restart"));
            return Ok(());
        }
        (Ok(_), None) => return Ok(()),
    };
    groups.hook.extend(plan_program(facts, inputs.program)?);
    for object in &inputs.objects {
        groups.hook.extend(plan_object(facts, inputs, object)?);
    }
    if !groups.hook.is_empty() {
        groups
            .notes
            .push(format!("{problem}: {hook} will start \"binfmt-nix restore\" instead; no boot has tested this yet"));
    }
    add_script_list(facts, hook, state, groups);
    Ok(())
}

/// Plans to copy this program, unless a package has it, or the copy is the same.
fn plan_program(facts: &Facts, program: HookProgram) -> Result<Option<Step>> {
    let path = Path::new(paths::PROGRAM);
    match (program, facts.files.get(path)) {
        (HookProgram::Packaged, _) => Ok(None),
        (HookProgram::Copy(sum), Some(found)) if *found == Some(sum) => Ok(None),
        (HookProgram::Copy(_), Some(_)) if !facts.is_unmodified(path) => Err(foreign_file_error(facts, path)),
        (HookProgram::Copy(sum), _) => Ok(Some(Step::InstallProgram(sum))),
    }
}

fn plan_object(facts: &Facts, inputs: &HookInputs, object: &HookObject) -> Result<Option<Step>> {
    Ok(match object {
        HookObject::File { path, text, executable } => {
            let step = write_own_file(facts, PathBuf::from(path), text.clone().into_bytes(), None)?;
            step.map(|step| if *executable { step.into_executable() } else { step })
        }
        HookObject::Link { path, target } => match inputs.links.get(path) {
            None => Some(Step::MakeLink { path: path.clone(), target: target.into() }),
            Some(Some(found)) if is_equivalent_link(path, Path::new(target), found) => None,
            Some(_) => return Err(foreign_file_error(facts, path)),
        },
        HookObject::BootCommand { line } => {
            let has_command = find_wsl_key(&inputs.wsl_conf, "command").is_some();
            (!has_command).then(|| Step::AddBootCommand { path: WSL_CONF.into(), line: line.clone() })
        }
    })
}

/// Plans to list the script, because startpar ignores links of scripts that are not listed. Programs of a tree are not
/// started.
fn add_script_list(facts: &Facts, hook: BootHook, state: &HookState, groups: &mut StepGroups) {
    if hook != BootHook::Sysvinit || !state.is_unlisted {
        return;
    }
    if let Some(program) = &state.insserv {
        groups.last.push(Step::ListBootScripts(program.clone()));
        return;
    }
    let chroot = facts.shell.root.as_ref().map(|root| format!("chroot {} ", shell_quote(&root.as_text())));
    groups.findings.push(format!(
        "sysvinit starts only the scripts in {SCRIPT_LIST}; to add binfmt-nix there, run: {}",
        facts.shell.as_root(format_args!("{}update-rc.d binfmt-nix defaults", chroot.unwrap_or_default()))
    ));
}
