/// What of the image is known to be zeroes. Everything here wants the shard's lock held.
extension AccessMap {
    /// The base pages of the chunk that `page` lies in that are known to be zeroes; none of them is resident.
    func knownZeroes(inChunkOf page: UInt64) -> PageSet {
        let hash = chunkHash(of: page)
        guard shard(at: hash).pointee.knownZeroes > 0, let record = record(of: page, at: hash) else {
            return PageSet()
        }
        zeroes.touch(record)
        return record.pages
    }

    /// Notes that `pages` of the chunk that `page` lies in, none of them resident, are zeroes.
    func noteZeroes(_ pages: PageSet, inChunkOf page: UInt64) {
        guard !pages.isEmpty else { return }
        let hash = chunkHash(of: page)
        let record = record(of: page, at: hash) ?? makeRecord(of: page, at: hash)
        let before = record.pages.count
        record.pages.formUnion(pages)
        shard(at: hash).pointee.knownZeroes += UInt64(record.pages.count - before)
        zeroes.touch(record)
    }

    /// `pages`, which lie in one chunk, are not known to be zeroes any more.
    func forgetZeroes(in pages: Range<UInt64>) {
        let hash = chunkHash(of: pages.lowerBound)
        guard shard(at: hash).pointee.knownZeroes > 0, let record = record(of: pages.lowerBound, at: hash) else {
            return
        }
        let before = record.pages.count
        record.pages.subtract(PageSet(pages))
        shard(at: hash).pointee.knownZeroes -= UInt64(before - record.pages.count)
        if record.pages.isEmpty { zeroes.remove(record) }
    }

    /// Nothing of the image in shard `index` is known to be zeroes any more. O(records).
    func forgetZeroes(inShard index: Int) {
        let shard = shards + index
        guard shard.pointee.knownZeroes > 0 else { return }
        zeroes.forEachRecord(inShard: index) { record, key in
            guard key.image == image else { return }
            shard.pointee.knownZeroes -= UInt64(record.pages.count)
            zeroes.remove(record)
        }
    }

    /// Marks `page`, if it is known to be zeroes: reading ahead goes on when somebody comes to it.
    func markZeroes(at page: UInt64) {
        guard let record = record(of: page, at: chunkHash(of: page)), record.pages.contains(page) else { return }
        zeroes.setMark(page, in: record)
    }

    /// Takes the mark off, if one of `pages`, which lie in one chunk, has it.
    /// - Returns: The page that had it.
    func takeMark(ofZeroes pages: Range<UInt64>) -> UInt64? {
        record(of: pages.lowerBound, at: chunkHash(of: pages.lowerBound)).flatMap { zeroes.takeMark(in: pages, of: $0) }
    }

    /// Those of `pages`, which lie in one chunk, that no flexpage covers. O(leaves of the range).
    func vacantPages(in pages: Range<UInt64>) -> PageSet {
        var vacant = PageSet(pages)
        forEachLeaf(of: pages) { leaf, _ in
            for index in 0..<Leaf.pages where leaf.pointee.flexpages[index] != FlexpageID.none {
                vacant.remove(leaf.firstPage + UInt64(index))
            }
        }
        return vacant
    }

    private func record(of page: UInt64, at hash: ChunkHash) -> ZeroMap.Record? {
        zeroes.record(of: PageKey(image: image, page: page), at: hash)
    }

    private func makeRecord(of page: UInt64, at hash: ChunkHash) -> ZeroMap.Record {
        let (record, forgotten) = zeroes.makeRecord(of: PageKey(image: image, page: page), at: hash)
        shard(at: hash).pointee.knownZeroes -= UInt64(forgotten)
        return record
    }
}
