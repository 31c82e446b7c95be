//! What is wrong on this host at the moment: each problem is logged once when it appears and once when it is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The current problems, by what they are about. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Problems(Arc<Mutex<BTreeMap<String, String>>>);

impl Problems {
    /// `about` is wrong in this way; logged if that is news.
    pub fn set(&self, about: &str, what: impl Into<String>) {
        let what = what.into();
        let is_news = self.lock().insert(about.to_owned(), what.clone()).is_none_or(|before| before != what);
        if is_news {
            tracing::warn!("{about}: {what}");
        }
    }

    /// `about` is fine.
    pub fn clear(&self, about: &str) {
        if self.lock().remove(about).is_some() {
            tracing::info!("{about}: fine again");
        }
    }

    /// What is wrong with `about` at the moment.
    pub fn get(&self, about: &str) -> Option<String> {
        self.lock().get(about).cloned()
    }

    /// As lines for operators: `about: what`.
    pub fn lines(&self) -> Vec<String> {
        self.lock().iter().map(|(about, what)| format!("{about}: {what}")).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
