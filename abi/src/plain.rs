//! The layout promise: `repr(C)`, no padding the compiler chose, every bit pattern valid.

/// A type whose bytes may cross between kernel and user space as they lie.
///
/// User space hands such values to aya through one wrapper of its own, because `aya::Pod` cannot
/// be implemented here (this crate imports nothing):
///
/// ```ignore
/// #[repr(transparent)]
/// #[derive(Clone, Copy)]
/// struct Raw<T: Plain>(T);
/// // SAFETY: Plain promises what Pod asks for.
/// unsafe impl<T: Plain> aya::Pod for Raw<T> {}
/// ```
///
/// # Safety
/// No implicit padding, no pointers, every bit pattern valid, `repr(C)` or `repr(transparent)`.
pub unsafe trait Plain: Copy + 'static {}

// SAFETY: integers.
unsafe impl Plain for u32 {}
// SAFETY: integers.
unsafe impl Plain for u64 {}

/// Declares a shared type as [`Plain`] and checks its size and alignment at compile time.
macro_rules! plain {
    ($($t:ty = $size:literal / $align:literal),* $(,)?) => { $(
        // SAFETY: repr(C) over integers with explicit padding; the size below is the sum of the fields.
        unsafe impl $crate::plain::Plain for $t {}
        const _: () = assert!(size_of::<$t>() == $size && align_of::<$t>() == $align);
    )* };
}
pub(crate) use plain;
