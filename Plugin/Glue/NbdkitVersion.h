// Which nbdkit runs this, and what is known to be wrong with it.

#ifndef FLEXPAGE_NBDKITVERSION_H
#define FLEXPAGE_NBDKITVERSION_H

/// Tells a person, where the nbdkit that runs is one of those that abort when a client vanishes, and what to do. In
/// get_ready, on the main thread. Waits for another process, two seconds at the most.
void nbdkit_version_warn(void);

#endif
