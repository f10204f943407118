/// Images that a thread of the crew should look after: write out what is due, sync, close.
///
///                post                takePostLocked               endLookingAfter
///     (idle) ───────────▶ posted ─────────────────────▶ looked after ───────────▶ (idle), or posted again if
///       ▲                   │                               │                     `post` was called meanwhile
///       └──── withdraw ─────┘                               └─ withdraw waits
///
/// One thread at a time looks after an image. The watch posts, and does no I/O itself: so an image whose disk hangs
/// holds up only the threads that work for it.
extension WritebackQueue {
    /// Posts an image, unless it is posted already. The Provider stays alive until `withdraw` has been called.
    func post(_ provider: Provider) { lock.withLock { postLocked(provider) } }

    private func postLocked(_ provider: Provider) {
        let image = Int(provider.image)
        guard !state.pointee.images[image].isLookedAfter else {
            state.pointee.images[image].isWantedAgain = true
            return
        }
        guard state.pointee.images[image].provider == nil else { return }
        state.pointee.images[image].provider = Unmanaged.passUnretained(provider)
        if !state.pointee.images[image].isInRing {
            state.pointee.images[image].isInRing = true
            state.pointee.posts[(state.pointee.firstPost + state.pointee.postCount) % state.pointee.imageCount] =
                provider.image
            state.pointee.postCount += 1
        }
        work.wakeOne()
    }

    /// Takes the first image posted that may have one more thread of the crew. O(images posted).
    func takePostLocked() -> Provider? {
        for _ in 0..<state.pointee.postCount {
            let image = Int(state.pointee.posts[state.pointee.firstPost])
            state.pointee.firstPost = (state.pointee.firstPost + 1) % state.pointee.imageCount
            state.pointee.postCount -= 1
            guard let provider = state.pointee.images[image].provider else {
                state.pointee.images[image].isInRing = false
                continue
            }
            guard mayWorkLocked(for: image) else {
                let end = (state.pointee.firstPost + state.pointee.postCount) % state.pointee.imageCount
                state.pointee.posts[end] = UInt16(image)
                state.pointee.postCount += 1
                continue
            }
            state.pointee.images[image].isInRing = false
            state.pointee.images[image].provider = nil
            state.pointee.images[image].isLookedAfter = true
            state.pointee.images[image].isWantedAgain = false
            state.pointee.images[image].crew += 1
            return provider.takeUnretainedValue()
        }
        return nil
    }

    /// The caller looks after the image no more. It still counts as working for it, until `endWork`.
    /// - Parameter again: Whether more is due at once.
    func endLookingAfter(_ provider: Provider, again: Bool) {
        lock.lock()
        let image = Int(provider.image)
        state.pointee.images[image].isLookedAfter = false
        if state.pointee.images[image].isWithdrawn {
            done.wakeAll()
        } else if again || state.pointee.images[image].isWantedAgain {
            postLocked(provider)
        }
        lock.unlock()
    }

    /// The image is about to be closed: takes back a post of it, and waits while a thread looks after it.
    func withdraw(_ provider: Provider) {
        lock.lock()
        defer { lock.unlock() }
        let image = Int(provider.image)
        state.pointee.images[image].provider = nil
        guard state.pointee.images[image].isLookedAfter else { return }
        state.pointee.images[image].isWithdrawn = true
        while state.pointee.images[image].isLookedAfter { done.wait(lock) }
        state.pointee.images[image].isWithdrawn = false
    }
}
