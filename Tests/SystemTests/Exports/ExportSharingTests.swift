import Glibc
import TestSupport
import Testing

/// Many images and many clients, one memory.
@Suite(.serialized) struct ExportSharingTests {
    /// Two names of one file, by a hard link and a symbolic one, are one image: clients see each other's writes before
    /// any of them is on the disk.
    @Test func twoNames() throws {
        let folder = try ImageFolder(["a.img", "other"])
        link(folder.path("a.img"), folder.path("hard"))
        symlink("a.img", folder.path("soft"))
        let server = try folder.server("memory=4M", "dirty-age=3600")
        let clients = try ["a.img", "hard", "soft"].map { try Client(server, $0) }
        for (index, client) in clients.enumerated() {
            let new = Image.bytes(0..<8192, seed: UInt64(900 + index))
            try client.write(new, at: index * 8192 + 100)
            for other in clients { try Bytes.check(try other.read(8192, at: index * 8192 + 100), new) }
        }
        try Bytes.check(try Files.bytes(folder.path("a.img")), folder.bytes("a.img"), "the image before a flush")
        try clients[1].flush()
        let found = try Files.bytes(folder.path("a.img"))
        try Bytes.check(Array(found[100..<8292]), Image.bytes(0..<8192, seed: 900), "the image")
        let names = ["a.img", "hard"].map(folder.path)
        #expect(try server.openFiles().filter(names.contains).count == 3)
        try folder.check(server, "other")
    }

    /// 256 clients of 64 images write and read back, in a memory that holds a fraction of the images. Every byte is
    /// checked against a model, and in the end on the disk.
    @Test func manyClients() throws {
        let (images, connections, size) = (64, 4, 1 << 20)
        let folder = try ImageFolder((0..<images).map { "image\($0)" }, size: size)
        let server = try folder.server(
            "memory=32M", "dirty-age=500ms", options: Server.Options(nbdkit: ["-t", "2"], isVerbose: false))
        let part = size / connections
        let clients = try (0..<images * connections).map { try Client(server, "image\($0 / connections)") }
        let models = (0..<images * connections).map {
            Part(folder, image: $0 / connections, number: $0 % connections, part)
        }
        try Threads.run(16) { thread in
            var random = SplitMix64(seed: 1, stream: UInt64(thread))
            for _ in 0..<(Soak.isOn ? 40 : 6) {
                for index in stride(from: thread, to: clients.count, by: 16) {
                    try models[index].step(clients[index], &random)
                }
            }
        }
        // What one client has written, the others of its image read.
        for index in clients.indices {
            let other = clients[index / connections * connections + (index + 1) % connections]
            try models[index].check(try other.read(part, at: models[index].start))
        }
        for image in 0..<images { try clients[image * connections].flush() }
        for model in models {
            try model.check(
                Array(try Files.bytes(folder.path("image\(model.image)"))[model.start..<model.start + part]))
        }
    }

    /// The part of an image that one client writes, and what is in it.
    private final class Part {
        let image: Int
        let start: Int
        private var bytes: [UInt8]

        init(_ folder: ImageFolder, image: Int, number: Int, _ length: Int) {
            self.image = image
            start = number * length
            bytes = Array(folder.bytes("image\(image)")[start..<start + length])
        }

        func step(_ client: Client, _ random: inout SplitMix64) throws {
            let count = random.length(upTo: 64 << 10)
            let place = Int(random.place(below: Int64(bytes.count - count + 1)))
            let new = Image.bytes(0..<count, seed: random.next())
            try client.write(new, at: start + place)
            Bytes.put(new, into: &bytes, at: place)
            let read = Int(random.place(below: Int64(bytes.count / 2)))
            let wanted = Array(bytes[read..<read + bytes.count / 2])
            try Bytes.check(try client.read(wanted.count, at: start + read), wanted, at: start + read, "image \(image)")
            if random.once(in: 8) { try client.flush() }
        }

        func check(_ found: [UInt8]) throws { try Bytes.check(found, bytes, at: start, "image \(image)") }
    }

    /// A disk that is full fails the flushes of its image alone. The lines in the log name the export, when a client
    /// leaves data behind, when that is out, and at the end.
    @Test(.enabled(if: !FullDisk.kinds.isEmpty, "needs root, and tmpfs or a loop device with ext4"))
    func fullDisk() throws {
        let disk = try FullDisk(FullDisk.kinds[0], imageSize: 16 << 20, left: 1 << 20)
        let folder = try ImageFolder(["good.img"], size: 1 << 20)
        let server = try Server(
            ["export=full:\(disk.image)", "export=good:\(folder.path("good.img"))", "memory=32M", "dirty=90%"],
            Server.Options(isVerbose: false))
        let good = try Client(server, "good")
        let new = [UInt8](repeating: 3, count: 4 << 20)
        do {
            let full = try Client(server, "full")
            try full.write(new, at: 4 << 20)
            #expect(Client.code { try full.flush() } == ENOSPC)
            try good.write([1], at: 0)
            #expect(Client.code { try good.flush() } == nil)
        }
        try waitFor("export \"full\": a client left before all written data was on the image and synced", server)
        #expect(server.log.contains("export \"full\": writing to the image fails"))
        // The image stays open, and another client finds the data.
        do { try Bytes.check(try Client(server, "full").read(new.count, at: 4 << 20), new) }
        try disk.free()
        try waitFor("export \"full\": everything written by ", server)
        try server.waitUntilClosed(String(disk.image.dropLast("/disk.img".count)))
        try Bytes.check(Array(try Files.bytes(disk.image)[4 << 20..<8 << 20]), new, "the image")
        #expect(!server.log.contains("export \"good\""))
    }

    private func waitFor(_ text: String, _ server: Server) throws {
        try Patience.wait(seconds: 60, "the log does not say \(text): \(server.log.suffix(2000))") {
            server.log.contains(text) ? () : nil
        }
    }
}
