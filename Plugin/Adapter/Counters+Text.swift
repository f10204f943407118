import Paging

extension Counters {
    /// What is counted for each image as well as for all, as `name=value` words. The man page documents each.
    var ofImage: String {
        "hits=\(hits) misses=\(misses) zero_hits=\(zeroHits) fills=\(fills) "
            + "pages_filled=\(pagesFilled) pages_read_ahead=\(pagesReadAhead) "
            + "read_ahead_in_vain=\(pagesReadAheadInVain) failed_fills=\(failedFills) "
            + "recycles=\(recycles) writes=\(writes) pages_written=\(pagesWritten) failed_writes=\(failedWrites) "
            + "dirty_pages=\(dirtyPages) allowed_dirty_pages=\(allowedDirtyPages)"
    }
}
