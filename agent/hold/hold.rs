//! The program of a holder: the one process of a container that owns a unit's network namespace. It pauses.
//!
//! Built by `build.rs` as a static program without libc and put into an image of its own (runtime `docker`). As
//! process 1 it ignores every signal it does not handle; it handles none, so only SIGKILL ends it.

#![no_std]
#![no_main]

use core::arch::asm;

/// Where the kernel begins; nothing returns from here.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    loop {
        pause();
    }
}

#[cfg(target_arch = "x86_64")]
fn pause() {
    // SAFETY: pause(2) has number 34, takes nothing and touches no memory; the kernel clobbers rcx and r11.
    unsafe { asm!("syscall", inlateout("rax") 34_u64 => _, out("rcx") _, out("r11") _, options(nostack)) };
}

#[cfg(target_arch = "aarch64")]
fn pause() {
    // SAFETY: ppoll(2) has number 73; without descriptors, time and mask it waits for a signal and touches no memory.
    unsafe {
        asm!("svc 0", in("x8") 73_u64, inlateout("x0") 0_u64 => _, in("x1") 0_u64, in("x2") 0_u64, in("x3") 0_u64,
            in("x4") 0_u64, options(nostack));
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {
        pause();
    }
}
