/* Instructions that mark where an inference begins and ends: MOVZ of these numbers into the zero register, which no
 * compiler has a reason to write. */
#ifndef ASHORE_COUNTING_MARKS_H_
#define ASHORE_COUNTING_MARKS_H_

#define ASHORE_MARK_BEGIN 0xA5B0
#define ASHORE_MARK_END 0xA5E0

#define ASHORE_MOVZ_XZR(number) (0xD280001Fu | (uint32_t)(number) << 5)

#endif /* ASHORE_COUNTING_MARKS_H_ */
