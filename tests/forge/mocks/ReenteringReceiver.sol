// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Makes calls of its owner's choice: at once, or while it is sent coins, and then keeps what came of it.
contract ReenteringReceiver {
    address private target;
    bytes private data;
    bool public called;
    bytes public answer;

    receive() external payable {
        if (target == address(0)) return;
        (called, answer) = target.call(data);
    }

    function reenter(address target_, bytes calldata data_) external {
        target = target_;
        data = data_;
    }

    function execute(address to, uint256 value, bytes calldata call) external returns (bytes memory) {
        (bool done, bytes memory result) = to.call{value: value}(call);
        require(done, "refused");
        return result;
    }
}
