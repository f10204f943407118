import Glibc

/// Waits for signals, and for what the kernel says about one device.
struct SystemEvents: AttachEvents {
    let links: LinkReports
    let signals: EndSignals

    /// In milliseconds.
    static var clock: Int { MonotonicTime.nanoseconds / 1_000_000 }

    var now: Int { Self.clock }

    func next(milliseconds: Int) -> AttachEvent {
        let deadline = now + milliseconds
        while true {
            var descriptors = [
                pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: links.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            let left = max(0, deadline - now)
            let count = poll(&descriptors, 2, Int32(clamping: left))
            if descriptors[0].revents != 0 { return .stop }
            // There are reports of other devices too.
            if descriptors[1].revents != 0, links.take() { return .linkDead }
            if count == 0, left == 0 || now >= deadline { return .time }
        }
    }
}
