import Glibc
import TestSupport
import Testing

/// The filter among nbdkit's other filters: whatever stands above it or below it, every byte is right.
@Suite struct FilterChainTests {
    /// A chain: the filters above ours, those below it, and their parameters.
    struct Chain: CustomTestStringConvertible {
        var above: [String] = []
        var below: [String] = []
        var parameters: [String] = []
        /// The part of the image that clients have.
        var part = 0..<FilterChainTests.size
        /// Whether the image is left alone.
        var isCopied = false

        var testDescription: String {
            (above.map { "\($0) above" } + below.map { "\($0) below" } + parameters).joined(separator: " ")
        }
    }

    static let size = (1 << 19) + 512

    static let chains: [Chain] = [
        Chain(above: ["offset"], parameters: ["offset=12345", "range=400001"], part: 12_345..<412_346),
        Chain(above: ["exportname"], parameters: ["exportname=one", "default-export=one"]),
        Chain(above: ["cow"], isCopied: true),
        Chain(
            above: ["blocksize-policy"],
            parameters: ["blocksize-minimum=512", "blocksize-preferred=64k", "blocksize-error-policy=allow"]),
        Chain(above: ["log"], parameters: ["logfile=/dev/null"]),
        Chain(below: ["nofilter"]), Chain(below: ["noextents"]), Chain(below: ["cacheextents"]),
        Chain(below: ["nozero"]), Chain(below: ["nozero"], parameters: ["zeromode=emulate"]),
        Chain(below: ["nozero"], parameters: ["zeromode=notrim"]),
        Chain(below: ["nozero"], parameters: ["zeromode=plugin", "fastzeromode=none"]),
        Chain(below: ["fua"], parameters: ["fuamode=emulate"]),
        Chain(below: ["fua"], parameters: ["fuamode=native"]), Chain(below: ["fua"], parameters: ["fuamode=force"]),
        Chain(below: ["multi-conn"], parameters: ["multi-conn-mode=disable"]),
        Chain(below: ["noparallel"], parameters: ["serialize=requests"]),
        Chain(below: ["noparallel"], parameters: ["serialize=all-requests"]),
        Chain(below: ["noparallel", "multi-conn"], parameters: ["serialize=requests", "multi-conn-mode=disable"]),
        Chain(below: ["readahead"]), Chain(below: ["cache"]), Chain(below: ["retry"]),
        Chain(below: ["cow"], isCopied: true),
        Chain(below: ["offset"], parameters: ["offset=12345", "range=400001"], part: 12_345..<412_346),
    ]

    /// Commands of any size at any offset, over two connections, with the least memory: what clients read is right, and
    /// so is the image after the end. The end comes in order.
    @Test(arguments: chains)
    func allCommands(_ chain: Chain) throws {
        let image = try Image(size: Self.size)
        let server = try Self.server(chain, image)
        let wanted = try work(server, image.bytes, chain, steps: 30)
        #expect(try server.stop() == 0, "\(server.log.suffix(2000))")
        try Bytes.check(try Files.bytes(image.path), chain.isCopied ? image.bytes : wanted, "the image")
    }

    /// A layer that takes whole blocks of 64 KiB only, or at most so much at once, or both, gets just that: what is
    /// asked of it otherwise, it refuses. Then the image ends with a whole block.
    @Test(arguments: [
        ["blocksize-minimum=64k", "blocksize-preferred=64k"],
        ["blocksize-minimum=64k", "blocksize-maximum=64k", "blocksize-preferred=64k"],
        ["blocksize-minimum=1", "blocksize-preferred=4k", "blocksize-maximum=64k"],
        ["blocksize-minimum=512", "blocksize-preferred=64k"], ["blocksize-minimum=4k", "blocksize-maximum=1M"],
    ])
    func blockSizes(_ sizes: [String]) throws {
        let image = try Image(size: 2 << 20)
        let chain = Chain(
            below: ["blocksize-policy"], parameters: sizes + ["blocksize-error-policy=error"], part: 0..<2 << 20)
        let server = try Self.server(chain, image)
        let wanted = try work(server, image.bytes, chain, steps: 60)
        #expect(try server.stop() == 0, "\(server.log.suffix(2000))")
        #expect(!server.log.contains("error:"), "\(server.log.suffix(2000))")
        try Bytes.check(try Files.bytes(image.path), wanted, "the image")
    }

    /// A partition, seen from above and from below.
    @Test(arguments: [true, false]) func partition(isAbove: Bool) throws {
        let image = try Image(size: 2 << 20)
        var bytes = image.bytes
        Bytes.put(Self.bootRecord, into: &bytes, at: 0)
        try Files.write(bytes, to: image.path)
        let chain = Chain(
            above: isAbove ? ["partition"] : [], below: isAbove ? [] : ["partition"], parameters: ["partition=1"],
            part: 51_200..<563_200)
        let server = try Self.server(chain, image)
        let wanted = try work(server, bytes, chain, steps: 30)
        #expect(try server.stop() == 0)
        try Bytes.check(try Files.bytes(image.path), wanted, "the image")
    }

    /// A master boot record with one partition: 1000 sectors from sector 100 on.
    private static var bootRecord: [UInt8] {
        var record = [UInt8](repeating: 0, count: 512)
        record.replaceSubrange(446..<462, with: [0, 0, 0, 0, 0x83, 0, 0, 0, 100, 0, 0, 0, 0xe8, 3, 0, 0])
        record.replaceSubrange(510..<512, with: [0x55, 0xaa])
        return record
    }

    /// An encrypted image, opened above the cache and below it: what qemu decrypts is what was written.
    @Test(.enabled(if: Subprocess.exists("qemu-img"), "needs qemu-img"), arguments: Soak.isOn ? [true, false] : [true])
    func luks(isAbove: Bool) throws {
        let scratch = Scratch()
        let (path, plain) = (scratch.path("disk.luks"), scratch.path("plain"))
        let secret = ["--object", "secret,id=s,data=word"]
        try Self.makeEncrypted(path, secret)
        let chain = Chain(
            above: isAbove ? ["luks"] : [], below: isAbove ? [] : ["luks"], parameters: ["passphrase=word"],
            part: 0..<1 << 20)
        let new = Image.bytes(0..<1 << 20, seed: 4)
        let server = try Self.server(chain, path)
        do {
            let client = try Client(server)
            for offset in stride(from: 0, to: 1 << 20, by: 128 << 10) {
                try client.write(Array(new[offset..<offset + (128 << 10)]), at: offset)
            }
            try Bytes.check(try client.read(1 << 20, at: 0), new)
        }
        #expect(try server.stop() == 0)
        let read = try Subprocess.run(
            ["qemu-img", "convert", "--image-opts", "-O", "raw"] + secret
                + ["driver=luks,key-secret=s,file.filename=\(path)", plain])
        #expect(read.status == 0, "\(read.output)")
        try Bytes.check(try Files.bytes(plain), new, "the plain image")
    }

    /// Makes an encrypted image of 1 MiB. qemu-img times the hash by the processor time of its thread, which a busy
    /// kernel may count as the system's whole; qemu-img gives up then, and a second attempt succeeds.
    private static func makeEncrypted(_ path: String, _ secret: [String]) throws {
        // Few rounds: what is tested is no password.
        let options = ["-o", "key-secret=s,iter-time=10", path, "\(1 << 20)"]
        for attempt in 1...20 {
            let made = try Subprocess.run(["qemu-img", "create", "-q", "-f", "luks"] + secret + options)
            if made.status != 0, attempt < 20, made.output.contains("Unable to get accurate CPU usage") { continue }
            return try #require(made.status == 0, "\(made.output)")
        }
    }

    /// Twice in one chain it is refused, and so it is over our plugin: in a sentence, and not by a crash.
    @Test func refusals() throws {
        let image = try Image(size: 1 << 20)
        let filter = try Filter.argument()
        let twice = try Subprocess.run("nbdkit", "-U", "-", filter, filter, "file", image.path, "--run", "true")
        #expect(twice.status == 1)
        #expect(twice.output.contains("--filter=flexpage is given twice; expected it once"), "\(twice.output)")
        let over = try Subprocess.run("nbdkit", "-U", "-", filter, try Plugin.built(), image.path, "--run", "true")
        #expect(over.status == 1)
        #expect(over.output.contains("the flexpage plugin has the cache already; leave the filter out"))
    }

    static func server(_ chain: Chain, _ image: Image) throws -> Server { try server(chain, image.path) }

    private static func server(_ chain: Chain, _ path: String) throws -> Server {
        try Server(
            [path, "memory=4M"] + chain.parameters,
            Server.Options(
                nbdkit: chain.above.map { "--filter=\($0)" }, pager: .filter,
                below: chain.below.map { "--filter=\($0)" }
            ))
    }

    /// What the image must be after clients have worked on a part of it, and left.
    private func work(_ server: Server, _ bytes: [UInt8], _ chain: Chain, steps: Int) throws -> [UInt8] {
        let part = chain.part
        let clients = [try Client(server, isStrict: false), try Client(server, isStrict: false)]
        #expect(clients[0].size == part.count)
        var model = WriteModel(Array(bytes[part]), clients, seed: UInt64(bytes.count))
        // Which bytes a trim leaves alone depends on where a filter above has its blocks.
        model.trims = chain.above.isEmpty
        try model.run(steps)
        try clients[0].flush()
        try model.run(steps / 2)
        var wanted = bytes
        Bytes.put(model.bytes, into: &wanted, at: part.lowerBound)
        return wanted
    }
}
