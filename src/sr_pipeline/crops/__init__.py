"""Training crops: which ones, their files, and how these are written."""
