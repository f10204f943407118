// What nbdkit's fork means for the plugin.
//
// nbdkit forks at most once, after get_ready and before after_fork. If it goes into the background, the parent exits.
// With --run, the parent lives on with all its descriptors and runs the command. With -f, -s and socket activation
// nbdkit does not fork. A plugin below a filter may fork in its after_fork, in order to start a program: that is not
// meant.
//
//     get_ready ── fork_watch ──▶ watched ── nbdkit forks ──▶ parent: gives up what only the server may have, and
//                                    │                   │            waits until the child serves
//                                    │ no fork           └──▶ child ──▶ after_fork: fork_over, then
//                                    └────────────────────────────────▶ fork_tell_success or fork_tell_failure
//
// **Given up in the parent: the image's descriptors.** If the parent kept a copy of the descriptor that claims a block
// device, the server could not release the claim and take it again. If it kept a copy of the locked descriptor and the
// server were killed, other servers would be locked out for as long as --run's command runs.
//
// **Given up in the parent: the scheduling policy and the IO flusher flag.** --run's command would inherit them.
//
// **Waiting for the child.** Without it, nobody would see an error that happens after the fork. The process that
// started a daemon would have exited with 0. --run's command would wait forever for a server that does not exist,
// because its parent keeps the socket open. So the parent waits for one message from the child. If it is an error, the
// parent prints it and exits with 1. If it is success, or if there is none after ten seconds, the parent goes on. The
// time is limited because the child may itself wait for a process that waits for the parent.
//
// No Swift runs here: the handlers run on nbdkit's main thread.

#ifndef FLEXPAGE_FORK_H
#define FLEXPAGE_FORK_H

#include <stdbool.h>
#include <stdint.h>

/// Watches for nbdkit's fork from now on. `descriptors` are those that the parent must close; `count` is at most
/// flexpage_max_descriptors. Returns 0, or an errno value.
int fork_watch(const int32_t *descriptors, int32_t count);

/// Ends the watch; later forks are ignored. Returns false if a fork has already made this process give up what the
/// server needs, because a filter started another program.
bool fork_over(void);

/// Tells the parent that the server is serving.
void fork_tell_success(void);

/// Tells the parent why the server cannot serve. Returns false if no parent is listening.
bool fork_tell_failure(const char *why);

#endif
