import Paging

extension Counters {
    /// What is counted for each image as well as for all, as `name=value` words. The man page documents each.
    var ofImage: String {
        "hits=\(hits) misses=\(misses) zero_hits=\(zeroHits) fills=\(fills) "
            + "pages_filled=\(pagesFilled) pages_read_ahead=\(pagesReadAhead) "
            + "read_ahead_in_vain=\(pagesReadAheadInVain) failed_fills=\(failedFills) "
            + "recycles=\(recycles) writes=\(writes) pages_written=\(pagesWritten) failed_writes=\(failedWrites) "
            + "waits=\(waits) dirty_pages=\(dirtyPages) allowed_dirty_pages=\(allowedDirtyPages)"
    }

    /// The same for all, with what is counted only for the memory as a whole.
    var ofAll: String {
        "\(ofImage) known_zeroes=\(knownZeroes) moves=\(moves) dirty_waits=\(dirtyWaits) "
            + "bytes_in_use=\(bytesInUse) peak_bytes_in_use=\(peakBytesInUse)"
    }
}
