/// Reserves: what each image keeps of the memory, whatever the others do. See Shares.
extension Pages {
    /// The maximum that all reserves together may be if the memory has `bytes` bytes: half of its pages, bytes. 0 if
    /// that is too little memory.
    public static func maxReserved(memory bytes: Int) -> Int {
        (Metadata.frames(fittingInto: bytes, atLeast: 1) ?? 0) / 2 * BasePage.size
    }

    /// By how many bytes `reserves` together exceed `maxReserved`; 0 if they do not. A server asks before it begins, so
    /// that it can refuse. Later, reserves that exceed it are made smaller, each by the same factor.
    public static func excess(of reserves: [Reserve], memory bytes: Int) -> Int {
        guard let frames = Metadata.frames(fittingInto: bytes, atLeast: 1) else { return 0 }
        let wanted = reserves.reduce(0) { $0 + min($1.frames(of: frames), frames) }
        return max(0, wanted - frames / 2) * BasePage.size
    }

    /// Reserves memory for image number `image` while it has users. Nil for the default: images that have users share
    /// equally what of half the memory is not reserved otherwise. O(images).
    func setReserve(_ reserve: Reserve?, ofImage image: UInt16) {
        let isShare = if case .share = reserve { true } else { false }
        queue.setReserve(reserve?.frames(of: frames), isShare: isShare, ofImage: image)
    }

    /// Image number `image` has its first user now, or has none any more. O(images).
    func setActive(_ isActive: Bool, image: UInt16) { queue.setActive(isActive, image: image) }

    /// Number `image` is no image's any more: nothing is reserved for it. O(images).
    func retire(image: UInt16) { queue.retire(image: image) }
}
