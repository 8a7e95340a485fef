// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";

/// @notice Wraps again what it unwraps, while it is being sent it.
contract RewrappingReceiver {
    IWrappedSalt private immutable wrappedSalt;

    bool private immutable plainly;

    /// @param plainly_ Whether it wraps by sending coins, or by calling `deposit`.
    constructor(IWrappedSalt wrappedSalt_, bool plainly_) payable {
        wrappedSalt = wrappedSalt_;
        plainly = plainly_;
        wrappedSalt_.deposit{value: msg.value}();
    }

    function withdraw(uint256 amount) external {
        wrappedSalt.withdraw(amount);
    }

    receive() external payable {
        if (!plainly) return wrappedSalt.deposit{value: msg.value}();
        (bool wrapped,) = address(wrappedSalt).call{value: msg.value}("");
        require(wrapped);
    }
}
