@testable import Paging

/// What tests ask an AccessMap, one question at a time, each with the lock of its chunk's shard.
extension AccessMap {
    func leaf(of page: UInt64) -> UnsafeMutablePointer<Leaf>? {
        chunk(of: page).withLock { chunk in leaf(of: page, in: chunk) }
    }

    func flexpage(at page: UInt64) -> FlexpageID {
        chunk(of: page).withLock { chunk in flexpage(at: page, in: chunk) }
    }

    func isVacant(_ pages: Range<UInt64>) -> Bool {
        chunk(of: pages.lowerBound).withLock { chunk in isVacant(pages, in: chunk) }
    }

    func insert(_ id: FlexpageID) {
        chunk(of: table[id].pointee.key.page).withLock { chunk in insert(id, in: chunk) }
    }

    func remove(_ id: FlexpageID) {
        chunk(of: table[id].pointee.key.page).withLock { chunk in remove(id, in: chunk) }
    }

    func knownZeroes(inChunkOf page: UInt64) -> PageSet {
        chunk(of: page).withLock { chunk in knownZeroes(in: chunk) }
    }

    func noteZeroes(_ pages: PageSet, inChunkOf page: UInt64) {
        chunk(of: page).withLock { chunk in noteZeroes(pages, in: chunk) }
    }

    func forgetZeroes(in pages: Range<UInt64>) {
        chunk(of: pages.lowerBound).withLock { chunk in forgetZeroes(in: pages, of: chunk) }
    }

    func markZeroes(at page: UInt64) {
        chunk(of: page).withLock { chunk in markZeroes(at: page, in: chunk) }
    }

    func takeMark(ofZeroes pages: Range<UInt64>) -> UInt64? {
        chunk(of: pages.lowerBound).withLock { chunk in takeMark(ofZeroes: pages, in: chunk) }
    }
}
