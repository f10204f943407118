/// Advice as text for people: a table of hit ratios, and a sentence of what to do.
///
///     export  4 KiB read    16M    32M  64M now   128M   256M   512M
///     all         611918  46 %   54 %    65.6 %  …
///
///     128M would save 41 % of the reads of images; above 256M hardly anything is gained.
struct AdviceText {
    let figures: AdviceFigures

    /// Samples from which on there is advice. With fewer it would be noise.
    static let minSamples: UInt64 = 500
    /// The share of the present misses that is worth a sentence.
    private static let worthwhile = 0.05
    /// What is lost of the largest saving if the memory is enlarged no further.
    private static let hardly = 0.05
    /// A share of the reads that is missed so rarely that more memory is not worth its price.
    private static let nothing = 0.001

    var text: String { "\(table)\n\n\(sentence)" }

    // MARK: Table

    private var table: String {
        let sizes = figures.all.points.map { point in
            MemorySize(bytes: Int(point.memoryBytes)).text + (isPresent(point) ? " now" : "")
        }
        var table = TextTable(titles: ["export", "4 KiB read"] + sizes)
        table.add(row("(all)", figures.all))
        for image in figures.images { table.add(row((image.name ?? "").withoutControls, image)) }
        return table.text
    }

    private func row(_ name: String, _ curve: AdviceFigures.Curve) -> [String] {
        let isEnough = curve.samples >= AdviceText.minSamples
        return [name, "\(curve.reads)"]
            + curve.points.map { isEnough ? "\((curve.hitRatio($0) * 100).text(digits: 1)) %" : "-" }
    }

    private func isPresent(_ point: AdviceFigures.Point) -> Bool { point.memoryBytes == figures.memoryBytes }

    // MARK: Sentence

    /// What to do about the memory.
    var sentence: String {
        let all = figures.all
        guard all.samples >= AdviceText.minSamples else {
            return "Too few accesses yet: \(all.samples) of the \(AdviceText.minSamples) samples that advice needs."
        }
        guard let present = all.points.first(where: isPresent) else { return "The present memory is not in the table." }
        let larger = all.points.filter { $0.memoryBytes > present.memoryBytes }
        return (Self.advice(toEnlarge: larger, present, all.reads) ?? adviceToKeep(present)) + loss
    }

    /// Which larger memory saves what; nil if none is worth it.
    private static func advice(
        toEnlarge larger: [AdviceFigures.Point], _ present: AdviceFigures.Point, _ reads: UInt64
    ) -> String? {
        guard Double(present.misses) > Double(reads) * nothing else { return nil }
        func saving(_ point: AdviceFigures.Point) -> Double { 1 - Double(point.misses) / Double(present.misses) }
        let best = larger.map(saving).max() ?? 0
        guard best >= worthwhile, let first = larger.first(where: { saving($0) >= worthwhile }),
            let enough = larger.first(where: { best - saving($0) <= hardly * best })
        else { return nil }
        let percent = "\((saving(first) * 100).text(digits: 0)) %"
        let begin = "\(size(first)) would save \(percent) of the reads of images"
        if first == enough {
            return begin + (enough == larger.last ? "." : "; above that hardly anything is gained.")
        }
        let rest = "\(size(enough)) would save \((saving(enough) * 100).text(digits: 0)) %"
        return enough == larger.last
            ? "\(begin), and \(rest)." : "\(begin), and \(rest); above that hardly anything is gained."
    }

    /// Nothing larger is worth it; perhaps something smaller does as well.
    private func adviceToKeep(_ present: AdviceFigures.Point) -> String {
        let begin = "More memory would save hardly anything"
        let allowed = max(
            Double(present.misses) * (1 + AdviceText.worthwhile), Double(figures.all.reads) * AdviceText.nothing)
        let smaller = figures.all.points.first {
            $0.memoryBytes < present.memoryBytes && Double($0.misses) <= allowed
        }
        guard let smaller else { return "\(begin), and less would cost reads: \(Self.size(present)) is right." }
        return "\(begin); \(Self.size(smaller)) would do as well."
    }

    /// What makes the advice doubtful.
    private var loss: String {
        figures.droppedSamples > figures.all.samples / 10
            ? " Many accesses came too fast to be simulated (\(figures.droppedSamples) samples), so this is rough." : ""
    }

    private static func size(_ point: AdviceFigures.Point) -> String { MemorySize(bytes: Int(point.memoryBytes)).text }
}
