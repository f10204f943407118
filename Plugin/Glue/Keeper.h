// The keeper: a thread of the plugin's own, from after_fork to cleanup. It begins serving, waits, and ends it.
//
//     keeper_begin ──▶ begins ──▶ waits ── a quit signal ──▶ brings out what is dirty, and again
//                        │ fails    │                                  │
//                        ▼          └────────── keeper_end ────────────┴──▶ ends serving ──▶ is gone
//
// **Why a thread.** Serving begins and ends off nbdkit's main thread (OffMainCall.h). A thread that is there already
// needs not be made at the end, when none may be had, and all that is dirty would be lost with it.
//
// **Quit signals.** nbdkit catches INT, QUIT, TERM and HUP. From then on it answers every request with ESHUTDOWN, but
// it calls cleanup only when all clients have left, which can take longer than a supervisor waits. So the keeper
// catches them too, calls the handler that was there before, and brings what is dirty to the image and syncs at once.
// Requests that were under way may still dirty something; so it looks again until keeper_end.
//
// A shutdown without a signal, which a filter can ask for, it does not see: then dirty-age= and cleanup do their part.

#ifndef FLEXPAGE_KEEPER_H
#define FLEXPAGE_KEEPER_H

/// Makes the thread and begins serving. Returns 0, or -1 where that fails, which has been told then.
int keeper_begin(void);

/// Ends serving, and the thread. Does nothing where it has not begun.
void keeper_end(void);

#endif
