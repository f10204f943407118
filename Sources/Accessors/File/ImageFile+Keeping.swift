import CLinux
import CStateFormat
import Glibc
import Paging

/// What the next server must know of the image, if this one dies (`state=`).
extension ImageFile {
    /// Notes in `record` where the image is and what it looks like. From then on calls that change the image are
    /// counted there. Call it once, before any other call but `beginWriting` and `judge`.
    ///
    /// The record may be one that another server has left, and that has been judged. Then nobody writes any more, and
    /// the counters begin anew.
    public func keep(in kept: KeptImage) {
        let record = kept.record
        record.pointee.is_stamped = 0
        flexpage_keep_order()
        record.pointee.is_block_device = isBlockDevice ? 1 : 0
        record.pointee.device = identity.device
        record.pointee.inode = identity.inode
        record.pointee.birth = identity.birth
        record.pointee.disk_sequence = diskSequence
        if let path = opened.keptPath, kept.path != path { kept.setPath(path) }
        let counts = WriteCounts(kept)
        counts.reset()
        writeCounts = counts
        keptImage = kept
        handover.keep(in: StampRecord(kept))
    }

    /// Whether `noteStamp` has something to note. No system call, and no waiting.
    public var isStampDue: Bool { handover.isStampDue }

    /// Notes what the image looks like, if no call that changes it has been under way since the last time, and the
    /// filesystem's times prove something.
    /// - Returns: Whether it has looked, with a system call.
    public func noteStamp() -> Bool { handover.noteStamp() }

    /// The same at the end, in one call: waits until the times have settled, 20 ms at most.
    public func noteLastStamp() { handover.noteLastStamp() }

    /// Judges whether the image is as a dead server has left it, and if so, takes what is kept of it for good: the
    /// first client will not have it forgotten.
    ///
    /// If anything is owed to the image, call `beginWriting` first, so that nobody changes it between this look and the
    /// write-out. And call it before `keep`, which begins the record anew.
    /// - Parameter owedEnd: Where the last byte that is owed to the image ends; 0 if nothing is.
    /// - Parameter alive: When the server was last alive, from the header.
    public func judge(_ record: KeptImage, owedEnd: Int64 = 0, alive: UInt64) -> KeptJudgement {
        let sight = KeptJudgement.Sight(
            identity: identity, isBlockDevice: isBlockDevice, size: size, diskSequence: diskSequence,
            hasForeignClock: linux_has_foreign_clock(opened.buffered.number))
        return handover.judge(record, owedEnd: owedEnd, alive: alive, sight)
    }

    /// Serves the image, which is record `number`, with the size that it has now. To be called after `judge` and before
    /// anything is written out, once what was being overwritten has its old bytes (`KeptState.undoWrites`).
    ///
    /// A base page that is owed, and in which the image ended, goes out whole from now on. What others have put behind
    /// the old end is read into it before.
    public func adoptSize(in state: KeptState, of number: Int) throws(AccessError) {
        let before = state.image(number).size
        let end = Int(before % Self.pageSize)
        if size > before, end > 0, let frame = state.frame(ofOwed: UInt64(before / Self.pageSize), of: number) {
            let page = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(Self.pageSize), alignment: 4096)
            defer { page.deallocate() }
            var piece = iovec(iov_base: page.baseAddress, iov_len: page.count)
            let offset = before - Int64(end)
            try withUnsafePointer(to: &piece) { (piece) throws(AccessError) in
                try populate(UnsafeBufferPointer(start: piece, count: 1), at: offset)
            }
            (state.memory(ofFrame: frame) + end).copyMemory(from: page.baseAddress! + end, byteCount: page.count - end)
        }
        state.image(number).setSize(size)
    }

    /// The number that the kernel has given to this attachment of a disk; 0 if it does not tell.
    private var diskSequence: UInt64 {
        isBlockDevice ? UInt64(max(0, linux_disk_sequence(opened.buffered.number))) : 0
    }

    /// The image has been opened again, maybe by another path.
    func keepPath(_ path: String?) {
        if let keptImage, let path, keptImage.path != path { keptImage.setPath(path) }
    }
}
