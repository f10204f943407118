// What nbdkit's fork means for the plugin.
//
// nbdkit forks once at the most, after get_ready and before after_fork: into the background, where the parent exits; or
// for --run, where the parent lives on, with every descriptor, and runs the command. With -f, -s and socket activation
// it does not fork.
//
//     get_ready ── fork_watch ──▶ watched ── nbdkit forks ──▶ parent: gives back what only the server is to have, and
//                                    │                   │            waits until the child serves
//                                    │ no fork           └──▶ child ──▶ after_fork: fork_over, then
//                                    └────────────────────────────────▶ fork_tell_success or fork_tell_failure
//
// **Given back in the parent.** The image's descriptors: while the parent has a copy of the one that claims a block
// device the server cannot give it up and take it again, and a copy of the one that is locked would keep other servers
// out for as long as --run's command runs, were the server killed. The scheduling and the IO flusher's flag: the
// command would inherit them.
//
// **Waiting for the child.** What goes wrong after the fork would be told to nobody: a daemon's starter would have
// exited with 0, and --run's command would wait for ever for a server that is not there, as its parent keeps the
// socket. So the parent waits for one word from the child. It prints what went wrong and exits with 1, or goes on;
// after ten seconds without a word it goes on too, as the child may wait for somebody who waits for the parent.
//
// No Swift runs here: the handlers run on nbdkit's main thread.

#ifndef FLEXPAGE_FORK_H
#define FLEXPAGE_FORK_H

#include <stdbool.h>
#include <stdint.h>

/// Watches for nbdkit's fork from now on. `descriptors`, `count` of them and flexpage_max_descriptors at the most, are
/// those that the parent must not keep. Returns 0, or an errno value.
int fork_watch(const int32_t *descriptors, int32_t count);

/// Ends the watch; a fork after this is another's affair. Returns false where this process has already given back what
/// the server needs, because somebody forked to start another program.
bool fork_over(void);

/// Tells the parent that the server serves.
void fork_tell_success(void);

/// Tells the parent why the server cannot serve. Returns false where no parent listens.
bool fork_tell_failure(const char *why);

#endif
