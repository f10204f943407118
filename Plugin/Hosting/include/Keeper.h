// The keeper: a thread that exists from after_fork to cleanup. It begins serving, waits, and ends serving.
//
//     keeper_begin ──▶ begins ──▶ waits ── a quit signal ──▶ flushes repeatedly
//                        │ fails    │                           │
//                        ▼          └──────── keeper_end ───────┴──▶ ends serving ──▶ is gone
//
// **Why a thread.** Serving begins and ends off nbdkit's main thread (OffMainCall.h). At the end, the system might
// refuse a new thread, and all dirty data would be lost. So the thread is created at the beginning.
//
// **Quit signals.** nbdkit catches INT, QUIT, TERM and HUP. After such a signal it answers every request with
// ESHUTDOWN, but it calls cleanup only when all clients have left. That can take longer than a supervisor waits. So the
// keeper catches these signals too, calls the previous handler, and flushes at once. Requests that were under way may
// still dirty pages, so it flushes repeatedly until keeper_end.
//
// The keeper does not notice a shutdown without a signal, which a filter can request. Then data is written out because
// of dirty-age=, and in cleanup.

#ifndef FLEXPAGE_KEEPER_H
#define FLEXPAGE_KEEPER_H

#include <stdbool.h>

/// Creates the thread and begins serving. Returns 0, or -1 after it has reported a failure.
int keeper_begin(void);

/// Whether a quit signal has come.
bool keeper_is_quitting(void);

/// Ends serving and the thread. Does nothing if serving has not begun.
void keeper_end(void);

#endif
