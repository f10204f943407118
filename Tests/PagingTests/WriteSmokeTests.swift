import Glibc
import Paging
import Testing

final class WritableImage: Accessor, @unchecked Sendable {
    let size: Int64
    let isWritable = true
    let bytes: UnsafeMutableRawPointer
    init(size: Int64) {
        self.size = size
        bytes = .allocate(byteCount: Int(size) + 4096, alignment: 4096)
        memset(bytes, 0, Int(size))
    }
    func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        usleep(UInt32.random(in: 0...50))
        var position = Int(offset)
        for piece in pieces {
            let n = max(0, min(piece.iov_len, Int(size) - position))
            memcpy(piece.iov_base, bytes + position, n)
            memset(piece.iov_base + n, 0, piece.iov_len - n)
            position += piece.iov_len
        }
    }
    func writeOut(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {
        usleep(UInt32.random(in: 0...50))
        if Int.random(in: 0..<20) == 0 { throw AccessError(EIO) }
        var position = Int(offset)
        for piece in pieces {
            let n = max(0, min(piece.iov_len, Int(size) - position))
            memcpy(bytes + position, piece.iov_base, n)
            position += piece.iov_len
        }
    }
    func makeDurable() throws(AccessError) {}
    func zero(_ range: Range<Int64>, mayTrim: Bool, onlyIfFast: Bool) throws(AccessError) {
        memset(bytes + Int(range.lowerBound), 0, range.count)
    }
    func trim(_ range: Range<Int64>) throws(AccessError) { memset(bytes + Int(range.lowerBound), 0, range.count) }
    func extents(of range: Range<Int64>, _ report: (Extent) -> Bool) throws(AccessError) {
        _ = report(Extent(range, .data))
    }
}

@Suite struct WriteSmokeTests {
    @Test(arguments: 1...10) func smoke(seed: Int) throws {
        let pages = try Pages(memory: 1 << 20)
        let registry = ProviderRegistry(pages: pages)
        let writeback = Writeback(pages: pages, registry: registry, dirtyAge: 20)
        let size: Int64 = 4 << 20 | 512
        let image = WritableImage(size: size)
        let provider = try registry.open(ImageIdentity(device: 1, inode: 1)) { image }
        let sectors = Int(size / 512)
        nonisolated(unsafe) let model = UnsafeMutablePointer<UInt8>.allocate(capacity: sectors)
        memset(model, 0, sectors)
        var threads: [pthread_t] = []
        let count = 6
        for t in 0..<count {
            threads.append(
                Thread.start {
                    let pager = Pager(provider)
                    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 19, alignment: 16)
                    defer { buffer.deallocate() }
                    // thread t owns the sectors of 1 MiB-ish stripes i where i % count == t, stripes of 37 sectors
                    for _ in 0..<150 {
                        let stripe = Int.random(in: 0..<(sectors / 37 / count)) * count + t
                        let first = stripe * 37 + Int.random(in: 0..<37)
                        let n = Int.random(in: 1...(stripe * 37 + 37 - first))
                        let offset = Int64(first) * 512
                        do {
                            switch Int.random(in: 0..<10) {
                            case 0..<5:
                                let value = UInt8.random(in: 1...255)
                                memset(buffer.baseAddress!, Int32(value), n * 512)
                                do {
                                    try pager.write(
                                        from: UnsafeRawBufferPointer(rebasing: buffer[..<(n * 512)]), at: offset,
                                        forced: Int.random(in: 0..<8) == 0)
                                } catch {}
                                // a failed FUA still has the bytes
                                memset(model + first, Int32(value), n)
                                // admission may have failed: read back what is there
                                try pager.read(
                                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<(n * 512)]), at: offset)
                                for i in 0..<n { model[first + i] = buffer[i * 512] }
                            case 5: try? pager.flush()
                            case 6:
                                try pager.zero(
                                    offset..<offset + Int64(n * 512), mayTrim: true, onlyIfFast: false, forced: false)
                                memset(model + first, 0, n)
                            default:
                                try pager.read(
                                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<(n * 512)]), at: offset)
                                for i in 0..<n * 512 where buffer[i] != model[first + i / 512] {
                                    fatalError("read wrong at \(first + i/512) \(buffer[i]) \(model[first+i/512])")
                                }
                            }
                        } catch { if (error as! AccessError).code != EIO { fatalError("\(error)") } }
                        if Int.random(in: 0..<10) == 0 { pages.checkInvariants() }
                    }
                })
        }
        for thread in threads { pthread_join(thread, nil) }
        let pager = Pager(provider)
        var tries = 0
        while true {
            do {
                try pager.flush()
                break
            } catch { tries += 1 }
        }
        for s in 0..<sectors {
            for i in 0..<512 where (image.bytes + s * 512 + i).load(as: UInt8.self) != model[s] {
                fatalError("image wrong")
            }
        }
        pages.checkInvariants(isQuiet: true)
        try registry.close(provider)
        writeback.stop()
        pages.checkInvariants(isQuiet: true)
        print(tries, pages.counters)
    }
}
