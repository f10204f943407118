import Glibc
import Paging
import Testing

/// Random reads of random ranges by many threads, against an image whose every byte is known.
@Suite struct ReadModelTests {
    @Test(arguments: 1...20) func smoke(seed: Int) throws {
        let pages = try Pages(memory: 1 << 20)
        let registry = ProviderRegistry(pages: pages)
        let size: Int64 = 8 << 20 | 777
        let provider = try registry.open(ImageIdentity(device: 1, inode: 1)) { MemoryImage(size: size, mostDelay: 50) }
        var threads: [pthread_t] = []
        for _ in 0..<8 {
            threads.append(
                Thread.start {
                    let pager = Pager(provider)
                    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 21, alignment: 16)
                    defer { buffer.deallocate() }
                    for _ in 0..<50 {
                        let count = 1 << Int.random(in: 0...21) - (Bool.random() ? 1 : 0)
                        let offset = Int64.random(in: 0...(size - Int64(count)))
                        do {
                            try pager.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: offset)
                        } catch { fatalError("\(error)") }
                        for index in stride(from: 0, to: count, by: 97)
                        where buffer[index] != MemoryImage.byte(at: offset + Int64(index)) {
                            fatalError("wrong byte")
                        }
                        pages.checkInvariants()
                    }
                })
        }
        for thread in threads { pthread_join(thread, nil) }
        pages.checkInvariants(isQuiet: true)
        print(pages.counters)
        registry.close(provider)
        pages.checkInvariants(isQuiet: true)
    }
}
