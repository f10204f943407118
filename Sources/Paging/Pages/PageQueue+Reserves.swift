/// What is reserved for images: see Shares. All of it is O(images).
extension PageQueue {
    /// Frames that an image has and that are reserved for it. A snapshot.
    struct Share: Equatable {
        var held: Int
        var reserved: Int
    }

    /// The number becomes an image's, which has no pages and no users.
    func begin(image: UInt16) {
        lock.withLock {
            (images + Int(image)).begin()
            state.pointee.shares.retire(image)
            aimAnewLocked()
        }
    }

    /// The number is no image's any more.
    func retire(image: UInt16) {
        lock.withLock {
            state.pointee.shares.retire(image)
            aimAnewLocked()
        }
    }

    /// Reserves `frames` frames for the image while it has users; the default if it is nil.
    /// - Parameter isShare: See `Shares.setReserve`.
    func setReserve(_ frames: Int?, isShare: Bool = false, ofImage image: UInt16) {
        lock.withLock {
            state.pointee.shares.setReserve(frames, isShare: isShare, of: image)
            aimAnewLocked()
        }
    }

    /// There are `frames` frames now: shares, probations and ghosts follow.
    func setFrames(_ frames: Int) {
        lock.withLock {
            state.pointee.shares.setFrames(frames)
            state.pointee.ghosts.setFrames(frames)
            aimAnewLocked()
        }
    }

    /// Whether the image has users: without, nothing is reserved for it.
    func setActive(_ isActive: Bool, image: UInt16) {
        lock.withLock {
            state.pointee.shares.setActive(isActive, image)
            aimAnewLocked()
        }
    }

    /// What the image has, and what is reserved for it.
    func share(ofImage image: UInt16) -> Share {
        lock.withLock {
            Share(held: state.pointee.shares.held(by: image), reserved: state.pointee.shares.reserve(of: image))
        }
    }

    /// Frames that the image's probation aims at. A snapshot.
    func probationTarget(ofImage image: UInt16) -> Int { lock.withLock { Int(images[Int(image)].probationTarget) } }

    private func aimAnewLocked() {
        lock.assertHeld()
        state.pointee.wishChanges += 1
        for image in 0..<imageCount {
            (images + image).forgetAim()
            aimLocked(UInt16(image))
        }
    }
}
