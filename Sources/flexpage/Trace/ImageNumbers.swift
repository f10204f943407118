/// Numbers for the images of a trace, from 0, in the order in which their names appear.
struct ImageNumbers {
    private var numbers: [String: Int] = [:]

    mutating func number(of name: Substring) -> Int {
        let name = String(name)
        if let number = numbers[name] { return number }
        numbers[name] = numbers.count
        return numbers.count - 1
    }
}
