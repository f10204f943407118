/// Advice about the amount of memory: see Advisor.
extension Pages {
    /// The part of `bytes` bytes of memory that advice takes, bytes: 1 %. 0 if that is too little for any advice.
    public static func adviceBytes(memory bytes: Int) -> Int {
        let budget = AdvisorLayout.budget(memory: bytes)
        guard let frames = Metadata.frames(fittingInto: bytes - budget, atLeast: Memory.minFrames),
            AdvisorLayout(frames: frames, images: KeptLayout.images(frames: frames), bytes: budget) != nil
        else { return 0 }
        return budget
    }

    /// The minimum for which there is advice, in whole MiB, bytes.
    public static var minMemoryForAdvice: Int {
        let unit = 1 << 20
        return unit * ((1...1024).first { adviceBytes(memory: $0 * unit) > 0 } ?? 1024)
    }

    /// Whether there is an Advisor.
    public var givesAdvice: Bool { advisor != nil }

    /// Simulates samples that have come since the last call, at most as many as wait for it at once. A thread calls it
    /// now and then (AdviceThread).
    /// - Returns: The share of the room for samples that was in use.
    @discardableResult
    public func digestSamples() -> Double {
        guard let advisor else { return 0 }
        return advisor.monitor.withLock {
            advisor.follow(queue)
            let count = advisor.digest(maxCount: advisor.ring.capacity)
            if advisor.isLong { advisor.halve(countsOfReads) }
            return Double(count) / Double(advisor.ring.capacity)
        }
    }

    /// What other amounts of memory would give for the image, or for all images. Nil if there is no Advisor.
    /// O(images, shards).
    public func advice(of provider: Provider? = nil) -> Advice? {
        guard let advisor else { return nil }
        digestSamples()
        let images = provider.map { $0.image..<$0.image + 1 } ?? 0..<UInt16(advisor.layout.images)
        let isLimited = sizes.frames < frames
        return advisor.monitor.withLock {
            advisor.advice(ofImages: images, memory: bytes, isLimited: isLimited, countsOfReads)
        }
    }

    /// Samples that were dropped because they came faster than they were simulated.
    public var droppedSamples: UInt64 { advisor?.ring.dropped ?? 0 }

    private func countsOfReads(_ image: UInt16) -> Advisor.Baseline {
        let counters = ImageCounters(image: image, memory.metadata).snapshot
        return Advisor.Baseline(reads: counters.hits + counters.misses, misses: counters.misses)
    }
}
