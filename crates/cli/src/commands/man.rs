//! `man`: the manual page, as roff; one page with every command, so that one file is all there is to
//! install.

use std::io;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::{args::Cli, error::Failure, exit::Exit, output::Printer};

pub(crate) fn run(printer: &mut Printer) -> Result<Exit, Failure> {
    let mut page = Vec::new();
    render(&mut page).map_err(|error| Failure::of_output(&error))?;
    printer.raw(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}

fn render(page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let man = Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    page.extend_from_slice(b".SH COMMANDS\n");
    for (words, command) in leaves(&command, "worker-runtime") {
        page.extend_from_slice(format!(".SS \"{words}\"\n").as_bytes());
        // What every command takes is told once, above.
        let command = command.mut_args(|arg| match arg.is_global_set() || arg.get_id() == "help" {
            true => arg.hide(true),
            false => arg,
        });
        let man = Man::new(command.display_name(&words).bin_name(&words));
        let mut section = Vec::new();
        man.render_description_section(&mut section)?;
        man.render_synopsis_section(&mut section)?;
        man.render_options_section(&mut section)?;
        let section = String::from_utf8_lossy(&section).into_owned();
        for line in section.lines() {
            // Its parts follow each other without headings: the page has few, and they can be found.
            let line = match line.starts_with(".SH ") {
                true => ".PP",
                false => line,
            };
            page.extend_from_slice(line.as_bytes());
            page.push(b'\n');
        }
    }
    man.render_extra_section(page)?;
    man.render_version_section(page)
}

/// Every command that does something, with its words.
fn leaves(command: &clap::Command, words: &str) -> Vec<(String, clap::Command)> {
    let mut found = Vec::new();
    for below in command.get_subcommands() {
        let words = format!("{words} {}", below.get_name());
        match below.has_subcommands() {
            true => found.extend(leaves(below, &words)),
            false => found.push((words, below.clone())),
        }
    }
    found
}
