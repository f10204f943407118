/// Lists of what is to be warmed. The Prefetcher's threads read it in parts, if there is nothing to be read ahead, and
/// at the pace that WarmPace says.
///
///     begin ──▶ on its way ── the last part has been read, or memory is full ──▶ warm (Provider.isWarm)
///                   └── forget, endWarming ──▶ gone
///
/// A list takes 8 bytes a run until its image is warm. Nobody waits for it. `forget` waits only for the part that is
/// being read.
extension PrefetchQueue {
    /// Begins to warm an image, if there are threads for it. A former list of the image is dropped.
    func beginWarming(_ warming: Warming) {
        monitor.withLock {
            guard !state.pointee.hasEndedWarming else { return }
            state.pointee.warmings.removeAll { $0.provider.toOpaque() == warming.provider.toOpaque() }
            state.pointee.warmings.append(warming)
            monitor.wakeAll()
        }
    }

    /// Drops all lists, and takes no more. Parts that are being read are not waited for.
    func endWarming() {
        monitor.withLock {
            state.pointee.warmings = []
            state.pointee.hasEndedWarming = true
        }
    }

    /// How many lists are on their way.
    var warmingsLeft: Int { monitor.withLock { state.pointee.warmings.count } }

    /// Whether the image has a list that is on its way.
    func isWarming(_ provider: Provider) -> Bool {
        let own = Unmanaged.passUnretained(provider).toOpaque()
        return monitor.withLock { state.pointee.warmings.contains { $0.provider.toOpaque() == own } }
    }

    /// Reads a part of a list, if that may begin now. The lock is held before, and after if it has read nothing.
    /// - Returns: Whether it has read one.
    func warmIfMayBegin() -> Bool {
        guard !state.pointee.warmings.isEmpty else { return false }
        let began = MonotonicClock.seconds
        guard state.pointee.pace.mayBegin(at: began), let index = nextWarming() else { return false }
        let (page, wanted) = state.pointee.warmings[index].nextChunk()
        let provider = state.pointee.warmings[index].provider
        let image = provider._withUnsafeGuaranteedRef { Int($0.image) }
        // In turn, if there are several.
        state.pointee.warmings.append(state.pointee.warmings.remove(at: index))
        state.pointee.images[image].warmers += 1
        state.pointee.pace.begin()
        monitor.wakeAll()
        monitor.unlock()
        // A thread that closes the image waits until this is done.
        let outcome = provider._withUnsafeGuaranteedRef {
            $0.mapper.warm(wanted, inChunkOf: page)
        }
        monitor.lock()
        state.pointee.pace.end(at: MonotonicClock.seconds, tookSince: began)
        state.pointee.images[image].warmers -= 1
        end(provider, outcome, image)
        monitor.wakeAll()
        monitor.unlock()
        return true
    }

    /// The first list that is not at its end. With several images in the memory, one of them has one thread.
    private func nextWarming() -> Int? {
        state.pointee.warmings.indices.first { index in
            let warming = state.pointee.warmings[index]
            guard !warming.isAtEnd else { return false }
            let image = warming.provider._withUnsafeGuaranteedRef { Int($0.image) }
            return !isShared || state.pointee.images[image].warmers == 0
        }
    }

    /// A part of an image has been read. If it was the last one, the image is warm.
    private func end(_ provider: Unmanaged<Provider>, _ outcome: PageMapper.WarmOutcome, _ image: Int) {
        guard let index = state.pointee.warmings.firstIndex(where: { $0.provider.toOpaque() == provider.toOpaque() }),
            outcome == .isFull || state.pointee.warmings[index].isAtEnd && state.pointee.images[image].warmers == 0
        else { return }
        state.pointee.warmings.remove(at: index)
        provider._withUnsafeGuaranteedRef { $0.noteWarm() }
    }

    /// A call of an Accessor for warming begins.
    func beginWarmCall() { monitor.withLock { state.pointee.pace.beginCall() } }
    func endWarmCall() { monitor.withLock { state.pointee.pace.endCall() } }
}
