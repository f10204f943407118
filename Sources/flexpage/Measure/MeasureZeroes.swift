import Accessors
import ArgumentParser
import Paging
import SystemPackage

/// `flexpage measure zeroes IMAGE`: the memory that an image takes once it has been read completely.
///
/// There is room for the whole image. Each base page takes a frame unless it is all zeroes. The image is only read.
struct MeasureZeroes: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "zeroes",
        abstract: "Measure the memory for a completely read image, of which zeroes take none.")

    @Argument(help: "An image file or a block device.")
    var image: String

    @Option(help: "KiB per read; can be given several times.")
    var request = [4, 128, 1024]

    func validate() throws {
        guard request.allSatisfy({ $0 >= 1 && $0 <= 32 << 10 }) else {
            throw ValidationError("--request must be 1 to 32768 KiB")
        }
    }

    func run() throws {
        let file = try ImageFile(path: FilePath(image), readOnly: true)
        let basePages = Int(file.size + Int64(BasePage.size) - 1) / BasePage.size
        print("\(image): \(basePages) base pages of 4 KiB, read completely:")
        var table = TextTable(titles: [
            "KiB per read", "base pages in memory", "share", "known zeroes", "reads of the image",
        ])
        for kibibytes in request {
            let counters = try read(file, basePages: basePages, bytesAtOnce: kibibytes << 10)
            let resident = Int(counters.after.bytesInUse - counters.before.bytesInUse) / BasePage.size
            table.add([
                "\(kibibytes)", "\(resident)", percent(resident, of: basePages), "\(counters.after.knownZeroes)",
                "\(counters.after.fills)",
            ])
        }
        print(table.text)
    }

    /// Reads the whole image through a new pager.
    private func read(
        _ file: ImageFile, basePages: Int, bytesAtOnce: Int
    ) throws -> (before: Counters, after: Counters) {
        let pages = try Pages(memory: Pages.memory(forFrames: basePages + basePages / 8 + 1024), readahead: 0)
        let registry = ProviderRegistry(pages: pages)
        let pager = Pager(try registry.open(file.identity) { file })
        let before = pages.counters
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytesAtOnce, alignment: BasePage.size)
        defer { buffer.deallocate() }
        var offset: Int64 = 0
        while offset < file.size {
            let count = Int(min(Int64(bytesAtOnce), file.size - offset))
            try pager.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), at: offset)
            offset += Int64(count)
        }
        let after = pages.counters
        try registry.close(pager.provider)
        return (before, after)
    }

    private func percent(_ part: Int, of whole: Int) -> String {
        let tenths = whole == 0 ? 0 : (part * 1000 + whole / 2) / whole
        return "\(tenths / 10).\(tenths % 10) %"
    }
}
