// The version of nbdkit that runs the plugin, and its known defects.

#ifndef FLEXPAGE_NBDKITVERSION_H
#define FLEXPAGE_NBDKITVERSION_H

/// Prints a warning and a workaround if this nbdkit is a version that aborts when a client vanishes. To be called in
/// get_ready, on the main thread. Waits for another process, at most two seconds.
void nbdkit_version_warn(void);

#endif
