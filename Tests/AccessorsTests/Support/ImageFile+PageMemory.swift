@testable import Accessors

extension ImageFile {
    func populate(_ memory: PageMemory, at offset: Int64) throws {
        try withExtendedLifetime(memory) { try populate(memory.all, at: offset) }
    }

    func writeOut(_ memory: PageMemory, at offset: Int64) throws {
        try withExtendedLifetime(memory) { try writeOut(memory.all, at: offset) }
    }

    /// All of the image, and zeroes to the end of its last page.
    func allBytes(pagesAPiece: () -> Int = { 1 }) throws -> [UInt8] {
        let memory = PageMemory(Int(size), pagesAPiece: pagesAPiece)
        try populate(memory, at: 0)
        return memory.bytes
    }
}
