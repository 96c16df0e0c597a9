"""What the tests share: test images, a running paas, its two front doors, repositories, transcripts."""
