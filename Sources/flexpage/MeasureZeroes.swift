import Accessors
import ArgumentParser
import Paging
import SystemPackage

/// `flexpage measure zeroes IMAGE`: how much memory an image takes that is read end to end, with room for all of it.
///
/// Each base page that is read and is not zeroes takes a frame; before there were known zeroes each one did. The image
/// is only read.
struct MeasureZeroes: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "zeroes",
        abstract: "The memory that an image read end to end takes, of which zeroes take none.")

    @Argument(help: "An image file or a block device.")
    var image: String

    @Option(help: "KiB in a read; may be given more than once.")
    var request = [4, 128, 1024]

    func validate() throws {
        guard request.allSatisfy({ $0 >= 1 && $0 <= 32 << 10 }) else {
            throw ValidationError("--request is 1 to 32768 KiB")
        }
    }

    func run() throws {
        let file = try ImageFile(path: FilePath(image), readOnly: true)
        let basePages = Int(file.size + Int64(BasePage.size) - 1) / BasePage.size
        print("\(image): \(basePages) base pages of 4 KiB, all of them read:")
        var table = TextTable(titles: [
            "KiB a read", "base pages in memory", "of all", "known zeroes", "reads of the image",
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

    /// Reads the image from its beginning to its end through a pager of its own.
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
