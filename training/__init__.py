"""Trains and measures the networks of `fer_models`; needs no gradio, grad-cam or facenet-pytorch."""
