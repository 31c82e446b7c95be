//! From `-f FILE` to a stack: reads what is needed, shows everything that is wrong.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use remuda_compose::dotenv::{self, Style};
use remuda_compose::{FILE_MAX_BYTES, Loaded, SourceFile, Sources};

use crate::failure::{Context, Failure};
use crate::source_line;

/// Names looked for in this order where no `-f` is given, as Compose does.
const DEFAULT_FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
/// Names looked for beside the first file, as Rancher's command line does.
const RANCHER_FILES: [&str; 2] = ["rancher-compose.yml", "rancher-compose.yaml"];
/// Means standard input.
const STDIN: &str = "-";
/// Means no file.
const NONE: &str = "none";

#[derive(Default, clap::Args)]
pub struct FileArgs {
    /// Compose file, `-` for standard input [default: compose.yaml or docker-compose.yml here]
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What Rancher says about its services, `none` to ignore it [default: rancher-compose.yml beside the file]
    #[arg(long, value_name = "FILE")]
    pub rancher_file: Option<PathBuf>,
}

/// The stack the files describe; notices are printed, problems are printed all at once.
pub fn load(args: &FileArgs, stack: &str) -> Result<Loaded, Failure> {
    let (paths, rancher) = paths(args)?;
    let env = environment(&paths)?;
    let mut files = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    if let Some(rancher) = &rancher {
        let all: Vec<_> = paths.iter().chain([rancher]).map(|path| path.display().to_string()).collect();
        eprintln!("reading {}", all.join(", "));
        files.push(read(rancher)?);
    }
    let (compose, rancher) = files.split_at(paths.len());
    let directory = directory(&paths)?;
    let sources = Sources { rancher: rancher.first(), directory: &directory, ..Sources::new(compose, &env, stack) };
    let named = remuda_compose::named_files(&sources).into_iter().filter_map(named_file).collect();
    let sources = Sources { named: &named, ..sources };
    let loaded = remuda_compose::load(&sources).map_err(|problems| refuse(&problems, &files))?;
    eprint!("{}", source_line::notices(&loaded.notices));
    Ok(loaded)
}

fn refuse(problems: &[remuda_compose::Problem], files: &[SourceFile]) -> Failure {
    eprint!("{}", source_line::problems(problems, files));
    match problems.len() {
        1 => eprintln!("1 problem; nothing was changed"),
        count => eprintln!("{count} problems; nothing was changed"),
    }
    Failure::shown()
}

/// The Compose files, and the Rancher file if there is one.
fn paths(args: &FileArgs) -> Result<(Vec<PathBuf>, Option<PathBuf>), Failure> {
    let mut files = args.files.clone();
    // Rancher's own command line took it as a further `-f`.
    let as_file = files.iter().skip(1).position(|path| is_rancher(path)).map(|at| files.remove(at + 1));
    if files.is_empty() {
        let found = DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists());
        files.push(found.ok_or_else(|| {
            Failure::usage(format!("there is no Compose file here ({})", DEFAULT_FILES.join(", ")))
                .advice("name it with -f FILE")
        })?);
    }
    let rancher = match args.rancher_file.clone().or(as_file) {
        Some(path) => Some(path).filter(|path| path.as_os_str() != NONE),
        None => beside(&files[0]),
    };
    Ok((files, rancher))
}

fn is_rancher(path: &Path) -> bool {
    path.file_name().is_some_and(|name| RANCHER_FILES.iter().any(|rancher| name == *rancher))
}

/// The Rancher file that goes with Compose file `path`; none goes with standard input.
fn beside(path: &Path) -> Option<PathBuf> {
    if path.as_os_str() == STDIN {
        return None;
    }
    RANCHER_FILES.iter().map(|name| path.with_file_name(name)).find(|rancher| rancher.exists() && rancher != path)
}

/// One byte more than is allowed is enough to know that it is too much.
fn read(path: &Path) -> Result<SourceFile, Failure> {
    let mut bytes = Vec::new();
    let limit = FILE_MAX_BYTES as u64 + 1;
    let read = if path.as_os_str() == STDIN {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.cannot(format!("read {}", path.display())).map_err(|failure| failure.advice("check -f FILE"))?;
    SourceFile::from_bytes(path.display().to_string(), bytes).map_err(|problem| refuse(&[problem], &[]))
}

/// Where relative paths in the files begin: the folder of the first one, absolute.
fn directory(paths: &[PathBuf]) -> Result<String, Failure> {
    let here = || std::path::absolute(".").cannot("find the current folder");
    let first = paths.first().filter(|path| path.as_os_str() != STDIN);
    let folder = match first.and_then(|path| path.parent()) {
        Some(folder) => here()?.join(folder),
        None => here()?,
    };
    Ok(folder.to_string_lossy().into_owned())
}

/// A file that a Compose file names: its text, or why it cannot be read; None when there is none.
fn named_file(path: String) -> Option<(String, Result<String, String>)> {
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(FILE_MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    let text = match read {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => Err(error.to_string()),
        Ok(_) => SourceFile::from_bytes(path.clone(), bytes).map(|file| file.text).map_err(|problem| problem.message),
    };
    Some((path, text))
}

/// `.env` beside the first file, overruled by the environment of this command.
fn environment(paths: &[PathBuf]) -> Result<BTreeMap<String, String>, Failure> {
    let directory = paths.first().and_then(|path| path.parent()).unwrap_or(Path::new(""));
    let vars = std::env::vars_os();
    let vars = vars.filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect();
    let mut env = dot_env(&directory.join(".env"), &vars)?;
    env.extend(vars);
    Ok(env)
}

/// The pairs of a `.env` file, whose values may name variables of `env`.
fn dot_env(path: &Path, env: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(FILE_MAX_BYTES as u64).read_to_end(&mut bytes)) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
            return Ok(BTreeMap::new());
        }
        read => read.cannot(format!("read {}", path.display()))?,
    };
    let parsed = dotenv::parse(&String::from_utf8_lossy(&bytes), Style::Compose, env, FILE_MAX_BYTES);
    if !parsed.faults.is_empty() {
        let lines = parsed.faults.iter().map(|fault| format!("{}:{}: {}", path.display(), fault.line, fault.message));
        return Err(Failure::new(format!("{} is not understood", path.display()))
            .details(lines)
            .advice("write KEY=VALUE, one a line; # begins a comment"));
    }
    Ok(parsed.pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}
