/// What of the image is known to be zeroes. Everything here wants the lock of the shard.
extension AccessMap {
    /// The base pages of the chunk that are known to be zeroes; none of them is resident.
    func knownZeroes(in chunk: borrowing LockedChunk) -> PageSet {
        guard chunk.shard.pointee.knownZeroes > 0, let record = record(of: chunk) else { return PageSet() }
        zeroes.touch(record)
        return record.pages
    }

    /// Notes that `pages`, none of them resident, are zeroes.
    func noteZeroes(_ pages: PageSet, in chunk: borrowing LockedChunk) {
        guard !pages.isEmpty else { return }
        assert(
            pages.subtracting(vacantPages(in: chunk.chunk.pages, of: chunk)).isEmpty, "known zeroes are not resident")
        let record = record(of: chunk) ?? makeRecord(of: chunk)
        let before = record.pages.count
        record.pages.formUnion(pages)
        chunk.shard.pointee.knownZeroes += UInt64(record.pages.count - before)
        zeroes.touch(record)
    }

    /// `pages` are not known to be zeroes any more.
    func forgetZeroes(in pages: Range<UInt64>, of chunk: borrowing LockedChunk) {
        assert(chunk.contains(pages), "they lie in the chunk")
        guard chunk.shard.pointee.knownZeroes > 0, let record = record(of: chunk) else { return }
        let before = record.pages.count
        record.pages.subtract(PageSet(pages))
        chunk.shard.pointee.knownZeroes -= UInt64(before - record.pages.count)
        if record.pages.isEmpty { zeroes.remove(record) }
    }

    /// Nothing of the image in shard `index`, whose lock is held, is known to be zeroes any more. O(records).
    func forgetZeroes(inShard index: Int) {
        LockRank.shard.assertHeld()
        let shard = shards + index
        guard shard.pointee.knownZeroes > 0 else { return }
        zeroes.forEachRecord(inShard: index) { record, key in
            guard key.image == image else { return }
            shard.pointee.knownZeroes -= UInt64(record.pages.count)
            zeroes.remove(record)
        }
    }

    /// Marks `page`, if it is known to be zeroes: reading ahead goes on when a client comes to it.
    func markZeroes(at page: UInt64, in chunk: borrowing LockedChunk) {
        assert(chunk.contains(page), "it lies in the chunk")
        guard let record = record(of: chunk), record.pages.contains(page) else { return }
        zeroes.setMark(page, in: record)
    }

    /// Takes the mark off, if one of `pages` has it.
    /// - Returns: The page that had it.
    func takeMark(ofZeroes pages: Range<UInt64>, in chunk: borrowing LockedChunk) -> UInt64? {
        assert(chunk.contains(pages), "they lie in the chunk")
        return record(of: chunk).flatMap { zeroes.takeMark(in: pages, of: $0) }
    }

    private func record(of chunk: borrowing LockedChunk) -> ZeroMap.Record? {
        zeroes.record(of: chunk.chunk, image: image)
    }

    private func makeRecord(of chunk: borrowing LockedChunk) -> ZeroMap.Record {
        let (record, forgotten) = zeroes.makeRecord(of: chunk.chunk, image: image)
        chunk.shard.pointee.knownZeroes -= UInt64(forgotten)
        return record
    }
}
