import Glibc
import TestSupport

/// An image in which every byte is known: each 8-byte word is a hash of its offset. So bytes from the wrong place, or
/// from another image, are found out.
struct Image {
    /// The directory that holds it, which goes with this image.
    let scratch: Scratch
    let path: String
    let bytes: [UInt8]

    /// Makes an image file of `size` bytes.
    init(in scratch: Scratch? = nil, size: Int, seed: UInt64 = 1) throws {
        let scratch = scratch ?? Scratch()
        self.scratch = scratch
        path = scratch.path("disk.img")
        bytes = Image.bytes(0..<size, seed: seed)
        try Files.write(bytes, to: path)
    }

    /// The contents of such an image in `range`, which begins at a multiple of 8.
    static func bytes(_ range: Range<Int>, seed: UInt64 = 1) -> [UInt8] {
        precondition(range.lowerBound % 8 == 0)
        var bytes = [UInt8](repeating: 0, count: (range.count + 7) & ~7)
        bytes.withUnsafeMutableBytes {
            for place in stride(from: 0, to: $0.count, by: 8) {
                let word = word((range.lowerBound + place) / 8, seed: seed)
                $0.storeBytes(of: word, toByteOffset: place, as: UInt64.self)
            }
        }
        bytes.removeLast(bytes.count - range.count)
        return bytes
    }

    /// Checks that `read` is what the image holds at `offset`.
    /// - Throws: If not, the byte that differs.
    func check(_ read: [UInt8], at offset: Int) throws {
        let isSame = bytes.withUnsafeBytes { mine in
            read.withUnsafeBytes { memcmp($0.baseAddress!, mine.baseAddress! + offset, $0.count) == 0 }
        }
        guard !isSame, let wrong = read.indices.first(where: { read[$0] != bytes[offset + $0] }) else { return }
        throw Trouble(
            "of \(read.count) bytes read at \(offset), byte \(offset + wrong) is \(read[wrong]), not "
                + "\(bytes[offset + wrong])")
    }

    /// Reads the range through `client` and checks it.
    func checkRead(_ client: Client, _ count: Int, at offset: Int) throws {
        try check(try client.read(count, at: offset), at: offset)
    }

    static func word(_ index: Int, seed: UInt64) -> UInt64 {
        var mixed = (UInt64(index) &+ seed) &* 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
