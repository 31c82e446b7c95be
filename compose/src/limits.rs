//! Every limit that keeps a hostile file cheap; each has a unit and a reason.

/// Largest file, bytes. Ten thousand lines of Compose fit; the scanner needs less than 50 MiB for it.
pub const FILE_MAX_BYTES: usize = 512 * 1024;

/// Most commas, colons and brackets inside one outermost bracket; a Compose file written as JSON has one in 15 bytes.
pub(crate) const BRACKET_MARKS_MAX: usize = 65_536;

/// Most memory the file may stand for once aliases, merge keys and variables are written out, bytes.
pub(crate) const EXPANDED_MAX_BYTES: usize = 16 * 1024 * 1024;

/// What a node costs beside its text when counted against [`EXPANDED_MAX_BYTES`], bytes.
pub(crate) const NODE_BYTES: usize = 128;

/// Deepest nesting, through aliases too; Compose itself needs 9 levels.
pub(crate) const NESTING_MAX: u32 = 48;

/// Deepest `${A:-${B:-…}}`.
pub(crate) const INTERPOLATION_DEPTH_MAX: u32 = 8;

/// Most problems shown: more than anyone reads, few enough to print at once.
pub(crate) const PROBLEMS_MAX: usize = 1_000;

/// Most ports one stack may name, ranges counted port by port.
pub(crate) const PORTS_MAX: usize = 4_096;

/// Most files that the files of a stack may name, such as those of `env_file`.
pub(crate) const NAMED_FILES_MAX: usize = 256;

/// Longest grace period, milliseconds: a day.
pub(crate) const GRACE_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// Longest pause before a restart, and longest time after which attempts are counted anew, milliseconds: a day.
pub(crate) const RESTART_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// Most attempts to start a container again that anyone counts.
pub(crate) const ATTEMPTS_MAX: u32 = 1_000_000;

/// Most cores one container may ask for, thousandths.
pub(crate) const CPU_MAX_MILLI: u64 = 4_096_000;

/// Most memory one container may ask for, bytes: 1 PiB.
pub(crate) const MEMORY_MAX_BYTES: u64 = 1 << 50;

/// Most processes one container may be limited to: the kernel's own `PID_MAX_LIMIT`.
pub(crate) const PIDS_MAX: u64 = 4_194_304;

/// Longest user text quoted in a message, characters.
pub(crate) const SHOWN_MAX_CHARS: usize = 60;

/// Longest mark under a value, characters.
pub(crate) const SPAN_MAX_CHARS: u32 = 200;
