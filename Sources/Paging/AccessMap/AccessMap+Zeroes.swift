/// What of the image is known to be zeroes. Everything here wants the shard's lock held.
extension AccessMap {
    /// The base pages of the chunk that `page` lies in that are known to be zeroes; none of them is resident.
    func knownZeroes(inChunkOf page: UInt64) -> PageSet {
        let place = place(of: page)
        guard shard(at: place).pointee.knownZeroes > 0, let record = record(of: page, at: place) else {
            return PageSet()
        }
        zeroes.touch(record)
        return record.pages
    }

    /// Notes that `pages` of the chunk that `page` lies in, none of them resident, are zeroes.
    func noteZeroes(_ pages: PageSet, inChunkOf page: UInt64) {
        guard !pages.isEmpty else { return }
        let place = place(of: page)
        let record = record(of: page, at: place) ?? makeRecord(of: page, at: place)
        let before = record.pages.count
        record.pages.formUnion(pages)
        shard(at: place).pointee.knownZeroes += UInt64(record.pages.count - before)
        zeroes.touch(record)
    }

    /// `pages`, which lie in one chunk, are not known to be zeroes any more.
    func forgetZeroes(in pages: Range<UInt64>) {
        let place = place(of: pages.lowerBound)
        guard shard(at: place).pointee.knownZeroes > 0, let record = record(of: pages.lowerBound, at: place) else {
            return
        }
        let before = record.pages.count
        record.pages.subtract(PageSet(pages))
        shard(at: place).pointee.knownZeroes -= UInt64(before - record.pages.count)
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
        guard let record = record(of: page, at: place(of: page)), record.pages.contains(page) else { return }
        zeroes.mark(page, in: record)
    }

    /// Takes the mark off, if one of `pages`, which lie in one chunk, has it.
    /// - Returns: The page that had it.
    func takeMark(ofZeroes pages: Range<UInt64>) -> UInt64? {
        record(of: pages.lowerBound, at: place(of: pages.lowerBound)).flatMap { zeroes.takeMark(in: pages, of: $0) }
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

    private func record(of page: UInt64, at place: Place) -> ZeroMap.Record? {
        zeroes.record(of: PageKey(image: image, page: page), at: place)
    }

    private func makeRecord(of page: UInt64, at place: Place) -> ZeroMap.Record {
        let (record, forgotten) = zeroes.makeRecord(of: PageKey(image: image, page: page), at: place)
        shard(at: place).pointee.knownZeroes -= UInt64(forgotten)
        return record
    }
}
