import Glibc
import Paging
import TestSupport
import Testing

@testable import Accessors

/// A kernel that interrupts, does less than it is asked for, and ends at the end of its file.
private struct MoodyKernel {
    var random: SplitMix64
    var file: [UInt8]
    /// True if transfers may end anywhere, rather than at multiples of 512.
    var isOdd: Bool
    var calls = 0
    /// Faults that callers must never see.
    var fault: String?

    mutating func transfer(
        _ pieces: UnsafePointer<iovec>, _ count: Int32, _ offset: Int64, isWrite: Bool, alignment: Int64
    ) -> Int {
        calls += 1
        if !(1...1024).contains(count) { fault = "\(count) pieces" }
        if offset % alignment != 0 { fault = "call at \(offset)" }
        if Int.random(in: 0..<4, using: &random) == 0 { return -Int(EINTR) }
        let asked = UnsafeBufferPointer(start: pieces, count: Int(count)).reduce(0) { $0 + $1.iov_len }
        if Int64(asked) % alignment != 0 { fault = "asked for \(asked)" }
        let left = max(0, file.count - Int(offset))
        var length = min(asked, left)
        if length > 1, Bool.random(using: &random) {
            length = Int.random(in: 1...length, using: &random)
            if !isOdd, length > 512 { length -= length % 512 }
        }
        copy(pieces, length, Int(offset), isWrite)
        return length
    }

    private mutating func copy(_ pieces: UnsafePointer<iovec>, _ length: Int, _ offset: Int, _ isWrite: Bool) {
        var done = 0
        var index = 0
        while done < length {
            let part = min(pieces[index].iov_len, length - done)
            file.withUnsafeMutableBytes { file in
                let place = file.baseAddress! + offset + done
                let memory = pieces[index].iov_base!
                if isWrite { memcpy(place, memory, part) } else { memcpy(memory, place, part) }
            }
            done += part
            index += 1
        }
    }
}

@Suite("Transfers that are interrupted, short, and in many pieces")
struct TransferTests {
    /// Whatever the kernel leaves undone is done, each byte at its offset. Calls have at most 1024 pieces and begin at
    /// multiples of the alignment.
    @Test(arguments: 0..<300)
    func everyByteArrives(seed: Int) throws {
        var random = SplitMix64(seed: UInt64(seed))
        let size = Int.random(in: 0...60_000, using: &random)
        let isWrite = Bool.random(using: &random)
        let alignment: Int64 = Bool.random(using: &random) ? 1 : 512
        let start = 4096 * Int.random(in: 0...2, using: &random)
        let before = pattern(start + Int(ImageFile.roundedUp(Int64(size))))
        var kernel = MoodyKernel(random: random, file: before, isOdd: alignment == 1)
        let memory = PageMemory(pattern(size, salt: 99)) { Int.random(in: 1...3, using: &random) }
        var transfer = Transfer(memory.all, at: Int64(start))
        let goal = isWrite ? Int64(size) / alignment * alignment : transfer.total

        var rounds = 0
        while transfer.done < goal, rounds < 10_000 {
            rounds += 1
            _ = try transfer.run(to: goal, asking: goal, alignment: alignment) {
                kernel.transfer($0, $1, $2, isWrite: isWrite, alignment: alignment)
            }
        }
        #expect(transfer.done == goal && kernel.fault == nil, "seed \(seed): \(transfer.done) of \(goal)")
        if isWrite {
            let expected = Array(before[..<start]) + pattern(size, salt: 99)[..<Int(goal)]
            expectSame(kernel.file, expected + before[expected.count...], "seed \(seed)")
        } else {
            expectSame(memory.bytes, Array(before[start...]), "seed \(seed)")
        }
    }

    /// More pieces than a call takes are split at 1024.
    @Test func manyPieces() throws {
        let memory = PageMemory(2500 * 4096)
        var transfer = Transfer(memory.all, at: 0)
        var counts: [Int32] = []
        let isDone = try transfer.run(to: transfer.total, asking: transfer.total, alignment: 4096) { _, count, _ in
            counts.append(count)
            return Int(count) * 4096
        }
        #expect(isDone)
        #expect(counts == [1024, 1024, 452])
    }

    /// At the end of the file, and when the kernel does less than the alignment, it stops rather than spins.
    @Test func standstill() throws {
        let memory = PageMemory(8192)
        var transfer = Transfer(memory.all, at: 0)
        #expect(try !transfer.run(to: 8192, asking: 8192, alignment: 4096) { _, _, _ in 0 })
        #expect(try !transfer.run(to: 8192, asking: 8192, alignment: 4096) { _, _, _ in 4095 })
        #expect(transfer.done == 0)
        #expect(try !transfer.run(to: 8192, asking: 8192, alignment: 4096) { _, _, at in at == 0 ? 5000 : 100 })
        #expect(transfer.done == 4096)
    }

    /// An error is thrown as it is.
    @Test func errors() {
        let memory = PageMemory(4096)
        var transfer = Transfer(memory.all, at: 0)
        #expect(throws: AccessError(ENOSPC)) {
            try transfer.run(to: 4096, asking: 4096, alignment: 1) { _, _, _ in -Int(ENOSPC) }
        }
        #expect(AccessError(failing: -5000).code == EIO)
    }

    /// Pieces of no length are passed over, and zeroing begins at any byte.
    @Test func emptyPieces() throws {
        var bytes = pattern(100)
        try bytes.withUnsafeMutableBytes { bytes in
            let base = bytes.baseAddress!
            let pieces =
                [iovec(iov_base: base, iov_len: 0), iovec(iov_base: base, iov_len: 60)]
                + [iovec(iov_base: base, iov_len: 0), iovec(iov_base: base + 60, iov_len: 40)]
            try pieces.withUnsafeBufferPointer { pieces in
                var transfer = Transfer(pieces, at: 0)
                let isDone = try transfer.run(to: 100, asking: 100, alignment: 1) { pieces, count, _ in
                    min(7, UnsafeBufferPointer(start: pieces, count: Int(count)).reduce(0) { $0 + $1.iov_len })
                }
                #expect(isDone)
                transfer.zeroMemory(from: 59)
            }
        }
        expectSame(bytes, pattern(100)[..<59] + [UInt8](repeating: 0, count: 41))
    }
}
