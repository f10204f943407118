/// What a fill tells the Advisor.
extension Fill {
    /// Reports those pages of the fill that are sampled, once it is visible: as `kind`, or as zeroes, which take no
    /// memory. Pages that were resident before are left out.
    /// - Parameter aheadFrom: Where it has read on past what is wanted, if it has: that is read ahead.
    func note(_ kind: Sample.Kind, aheadFrom: UInt64 = .max, in chunk: HashedChunk) {
        assert(kind == .miss || kind == .ahead, "a fill is a client's or read ahead")
        context.sampler.forEachSampled(of: covered, chunk.hash) { page in
            guard !resident.contains(page) else { return }
            let kind = page >= aheadFrom ? Sample.Kind.ahead : kind
            guard droppedPages.contains(page) else {
                return context.sampler.report(kind, page, image: context.map.image)
            }
            if kind == .miss { context.sampler.report(.zeroes, page, image: context.map.image) }
        }
    }
}
