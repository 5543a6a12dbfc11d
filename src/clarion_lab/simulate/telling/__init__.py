"""What vendors tell of messages afterwards, with their own bodies and signatures: a second opinion on the code that reads
them, with which it shares nothing."""
