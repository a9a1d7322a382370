# SPDX-License-Identifier: GPL-2.0-or-later
"""What Python programs do: objects, dictionaries, strings, lists, floats, big integers.

interpreted.py SECONDS prints 'rate: N' (turns a second of the monotonic clock); a wrong result ends it with status 1.
"""
import re
import sys
import time


class Body:
    def __init__(self, position, speed, mass):
        self.position, self.speed, self.mass = position, speed, mass

    def pull(self, other, step):
        distance = [a - b for a, b in zip(other.position, self.position)]
        square = sum(d * d for d in distance) + 0.01
        force = other.mass / (square * square ** 0.5)
        self.speed = [v + d * force * step for v, d in zip(self.speed, distance)]

    def move(self, step):
        self.position = [p + v * step for p, v in zip(self.position, self.speed)]


def bodies():
    all_of_them = [Body([i, i * i % 7, -i], [0, i / 10, 0], 1 + i) for i in range(5)]
    for _ in range(10):
        for one in all_of_them:
            for other in all_of_them:
                if one is not other:
                    one.pull(other, 0.01)
        for one in all_of_them:
            one.move(0.01)
    return round(sum(sum(one.position) for one in all_of_them), 6)


def words():
    text = " ".join(f"word{i * i % 97} {i}" for i in range(400))
    counts = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    numbers = [int(found) for found in re.findall(r"word(\d+)", text)]
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[0], sum(numbers)


def primes():
    sieve = [True] * 2000
    for i in range(2, 45):
        if sieve[i]:
            sieve[i * i::i] = [False] * len(sieve[i * i::i])
    return sum(sieve[2:])


def big():
    value = 1
    for i in range(1, 150):
        value *= i
    return value % 1000000007, len(str(value))


def turn():
    return bodies(), words(), primes(), big()


EXPECTED = 9.10174, (("word1", 9), 18936), 303, (745647373, 261)


def main():
    seconds = float(sys.argv[1])
    turns, start = 0, time.monotonic()
    while True:
        result = turn()
        if result != EXPECTED:
            sys.exit(f"interpreted.py: got {result}, not {EXPECTED}")
        turns += 1
        passed = time.monotonic() - start
        if passed >= seconds:
            break
    print(f"rate: {turns / passed:.2f}")


if __name__ == "__main__":
    main()
